"""Student's t distribution with any positive degrees of freedom ν, also fractions.

P(T > t) = I_x(ν/2, ½) / 2 for t ≥ 0, with x = ν/(ν + t²) and the regularized incomplete beta function I, by its
continued fraction (https://dlmf.nist.gov/8.17.E22).
"""

import math

_TERMS = 10_000
_TINY = 1e-300


def student_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's distribution.

    Examples:
        >>> from facemargin.evaluation.metrics.student import student_tail
        >>> round(student_tail(2.776, 4), 3), round(student_tail(-1, 1), 2)
        (0.025, 0.75)
    """
    if t < 0:
        return 1 - student_tail(-t, freedom)
    if math.isinf(t):
        return 0.0
    squared = t * t
    return _incomplete_beta(freedom / (freedom + squared), squared / (freedom + squared), freedom / 2, 0.5) / 2


def student_quantile(tail: float, freedom: float) -> float:
    """The t with P(T > t) = tail, 0 < tail ≤ ½, by bisection.

    Examples:
        >>> from facemargin.evaluation.metrics.student import student_quantile
        >>> round(student_quantile(0.025, 4), 3), round(student_quantile(0.025, 1e6), 2)
        (2.776, 1.96)
    """
    high = 1.0
    while student_tail(high, freedom) > tail:
        high *= 2
    low = 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if student_tail(middle, freedom) > tail else (low, middle)
    return high


def _incomplete_beta(x: float, one_less_x: float, a: float, b: float) -> float:
    """I_x(a, b). `one_less_x` is 1 − x, which the caller knows more exactly."""
    if x == 0 or one_less_x == 0:
        return 0.0 if x == 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # there the fraction of the other side converges faster
        return 1 - _incomplete_beta(one_less_x, x, b, a)
    logarithm = a * math.log(x) + b * math.log(one_less_x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(logarithm) / (a * _continued_fraction(x, a, b))


def _continued_fraction(x: float, a: float, b: float) -> float:
    """1 + d₁/(1 + d₂/(1 + …)), from the front, by Lentz's method."""
    value, numerator, denominator = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        m = term // 2
        if term % 2:
            d = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            d = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        denominator = 1 / (1 + d * denominator or _TINY)
        numerator = 1 + d / numerator or _TINY
        factor = numerator * denominator
        value *= factor
        if abs(factor - 1) < 1e-16:
            break
    return value
