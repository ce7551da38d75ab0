"""Upper bounds of an error rate that hold for every population, whatever people share their errors.

Of N people drawn independently, U is the mean over all pairs of people of h(i, j), the share of the image pairs of i
and j that are in error, and θ its expectation. Pairs share people, but U is the average, over all orders of the people,
of means of m = ⌊N/2⌋ terms that share nobody. For every convex f therefore E f(m·U) ≤ E f(X), X ~ Bin(m, θ)
(W. Hoeffding, "Probability inequalities for sums of bounded random variables", JASA 1963, sections 5 and 6). With the
hinges f(x) = (τ − x)₊ / (τ − m·u),

    P(U ≤ u) ≤ B(u; θ, m) = min over τ > m·u of E(τ − X)₊ / (τ − m·u)                  (V. Bentkus, Ann. Probab. 2004)

Setting the derivative to 0 shows what B is: take the outcomes of X from 0 upwards, the last one in part, until their
mean is m·u; B is their probability. So u certifies θ ≤ f at confidence 1 − δ if, and only if, it is at most the mean of
the luckiest outcomes of Bin(m, f), those that have probability δ together, divided by m (`largest_observed`). B falls
in θ and, since Bin(m, θ)/m falls in convex order, in m.

Shapes: E rates, W outcomes around the one that matters.
"""

import math
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.inputs import as_numbers, as_rate

FloatArray = NDArray[np.float64]
Design = Literal["all-pairs", "gallery", "list"]
"""Who is compared with whom: all people with each other, people with a fixed gallery, or a list of pairs."""

DESIGNS = get_args(Design)

_BLOCK = 2**20
"""How many outcomes are held at a time."""

_NEGLIGIBLE = 45.0
"""An outcome e⁴⁵ times less likely than the others is left out."""

_SMALLEST = 1e-300
_CLOSE = 1e-12
_MOST_STEPS = 100


def certified_upper_bound(observed: ArrayLike, units: ArrayLike, confidence: float = 0.95) -> float | FloatArray:
    """The rate that the true error rate exceeds in at most 1 − `confidence` of all samples, whatever the population:
    sup{θ ≥ u : B(u; θ, m) > 1 − confidence}, to 1e-12. A float for numbers, an array for arrays.

    observed: the rate u in the sample; every person counts alike, however many images there are of them. units: the
    number m of independent terms that it holds. If all of N people are compared with each other, they are ⌊N/2⌋; if
    people are compared with a fixed gallery, or with themselves, their number; for a list of pairs, the number of pairs
    divided by one more than the most pairs that a person is in, rounded down. The threshold must not have been chosen
    on the same sample; `certify_threshold` chooses one.

    Raises DataError for a rate outside [0, 1] and for units that are not whole numbers of at least 1, ConfigError for a
    confidence outside (0, 1).

    Examples:
        >>> import facemargin as fm
        >>> round(fm.evaluation.certified_upper_bound(0, units=20), 4)
        0.1391
        >>> fm.evaluation.certified_upper_bound([0, 1e-3], units=[2995, 2995]).round(5).tolist()
        [0.001, 0.00275]
    """
    delta = risk(confidence)
    rates, counts = np.broadcast_arrays(as_numbers("observed", observed), as_numbers("units", units))
    u_E, m_E = rates.ravel().astype(np.float64), counts.ravel().astype(np.float64)
    if not ((u_E >= 0) & (u_E <= 1)).all():
        raise DataError(f"observed has {_first(u_E, (u_E >= 0) & (u_E <= 1))}, expected rates from 0 to 1")
    whole_E = (m_E >= 1) & (m_E == np.trunc(m_E)) & np.isfinite(m_E)
    if not whole_E.all():
        raise DataError(f"units has {_first(m_E, whole_E)}, expected whole numbers of at least 1")
    bound_E = np.where(u_E == 0, -np.expm1(math.log(delta) / m_E), 1.0)
    between = np.flatnonzero((u_E > 0) & (u_E < 1))
    width = 1 if not len(between) else int(_width(u_E[between], m_E[between], delta).max())
    size = max(1, _BLOCK // width)
    for start in range(0, len(between), size):
        block = between[start : start + size]
        bound_E[block] = _bounds(u_E[block], m_E[block], delta)
    return bound_E.reshape(rates.shape) if rates.ndim else float(bound_E[0])


def people_needed(rate: float, observed: float = 0.0, confidence: float = 0.95, design: Design = "all-pairs") -> int:
    """The number of people with whom an error rate of at most `rate` can be certified if a rate of `observed` is found
    among them (0: no error). No method that holds for every population needs fewer than about 2·ln(1/δ)/rate people
    who are all compared with each other, or half as many who are compared with a fixed gallery.

    For a list, the number in a list in which nobody is in two pairs. Raises ConfigError unless 0 ≤ observed < rate < 1.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.people_needed(1e-3), fm.evaluation.people_needed(1e-3, observed=3e-4)
        (5990, 13248)
    """
    rate, observed, delta = as_rate("rate", rate), as_rate("observed", observed), risk(confidence)
    if not 0 <= observed < rate < 1:
        raise ConfigError(
            f"rate is {rate:g} and observed is {observed:g}, expected an observed rate below the one to certify, and "
            "both from 0 to 1"
        )
    return units_needed(rate, observed, delta) * people_per_unit(design)


def people_per_unit(design: str) -> int:
    """How many people make an independent term. Raises ConfigError for an unknown design."""
    if design not in DESIGNS:
        raise ConfigError(f"design is {design!r}, expected one of {', '.join(DESIGNS)}")
    return 1 if design == "gallery" else 2


def units_needed(rate: float, observed: float, delta: float) -> int:
    """The smallest m with B(observed; rate, m) ≤ delta."""
    if observed == 0:
        m = math.ceil(math.log(delta) / math.log1p(-rate))
        return m if m == 1 or m * math.log1p(-rate) <= math.log(delta) else m + 1

    def enough(m: int) -> bool:
        largest = largest_observed(rate, m, delta)
        return largest is not None and observed <= largest

    too_few, m = 0, 1
    while not enough(m):
        too_few, m = m, 2 * m
    while m - too_few > 1:
        middle = (too_few + m) // 2
        too_few, m = (too_few, middle) if enough(middle) else (middle, m)
    return m


def largest_observed(rate: float, units: int, delta: float) -> float | None:
    """The largest observed rate u with B(u; rate, units) ≤ delta: the mean of the luckiest outcomes, of probability
    `delta` together, of Bin(units, rate), divided by units. None if even an observed rate of 0 certifies nothing."""
    if units * math.log1p(-rate) > math.log(delta):
        return None
    mean = units * rate
    low = max(0, math.floor(mean - math.sqrt(2 * mean * (_NEGLIGIBLE - math.log(delta)))))
    high = min(units, math.ceil(mean + math.sqrt(2 * _NEGLIGIBLE * mean) + _NEGLIGIBLE))
    k_W = np.arange(low, high + 1, dtype=np.float64)
    probability_W = np.exp(_log_choices(units, k_W) + k_W * math.log(rate) + (units - k_W) * math.log1p(-rate))
    up_to_W = np.cumsum(probability_W)
    last = min(int(np.searchsorted(up_to_W, delta)), len(k_W) - 1)
    whole, sum_of = (up_to_W[last - 1], (k_W * probability_W)[:last].sum()) if last else (0.0, 0.0)
    return float((sum_of + (delta - whole) * k_W[last]) / delta / units)


def risk(confidence: float) -> float:
    """δ = 1 − confidence. Raises ConfigError unless it is between 0 and 1."""
    confidence = as_rate("confidence", confidence)
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is {confidence:g}, expected a number between 0 and 1, such as 0.95")
    return 1 - confidence


def _first(values_E: FloatArray, good_E: NDArray[np.bool_]) -> str:
    return f"{values_E[np.argmin(good_E)]:g}"


def _highest(u_E: FloatArray, m_E: FloatArray, delta: float) -> FloatArray:
    """Rates that the bounds do not exceed: B ≤ exp(−m·KL(u, θ)), KL ≥ 2(θ − u)² and KL ≥ (θ − u)²/2θ."""
    per_unit_E = -math.log(delta) / m_E
    above_E = per_unit_E + np.sqrt(per_unit_E**2 + 2 * u_E * per_unit_E)
    return np.asarray(np.minimum(u_E + np.minimum(above_E, np.sqrt(per_unit_E / 2)), np.nextafter(1, 0)))


def _reach(u_E: FloatArray, m_E: FloatArray, delta: float) -> tuple[FloatArray, FloatArray]:
    """The outcomes below and above which no others matter for any rate from u to the highest."""
    sum_E, mean_E = m_E * u_E, m_E * _highest(u_E, m_E, delta)
    low_E = np.floor(sum_E - np.sqrt(2 * _NEGLIGIBLE * (sum_E + 1)) - 2)
    high_E = np.ceil(mean_E + np.sqrt(2 * _NEGLIGIBLE * mean_E) + _NEGLIGIBLE)
    return np.maximum(low_E, 0), np.minimum(high_E, m_E)


def _width(u_E: FloatArray, m_E: FloatArray, delta: float) -> FloatArray:
    low_E, high_E = _reach(u_E, m_E, delta)
    return np.asarray(high_E - low_E + 1)


def _bounds(u_E: FloatArray, m_E: FloatArray, delta: float) -> FloatArray:
    """The roots of ln B(u; θ, m) = ln δ in θ, by regula falsi (the Illinois variant), from above."""
    low_E, high_E = _reach(u_E, m_E, delta)
    k_EW = low_E[:, None] + np.arange(int((high_E - low_E).max()) + 1)
    m_E1, excess_EW = m_E[:, None], k_EW - (m_E * u_E)[:, None]
    choices_EW = np.where(k_EW <= m_E1, _log_choices(m_E1, np.minimum(k_EW, m_E1)), -np.inf)

    def above_delta(rate_E: FloatArray) -> FloatArray:
        rate_E1 = rate_E[:, None]
        log_EW = choices_EW + k_EW * (np.log(rate_E1) - np.log1p(-rate_E1)) + m_E1 * np.log1p(-rate_E1)
        return np.log(np.maximum(_probability(np.exp(log_EW), excess_EW), _SMALLEST)) - math.log(delta)

    below_E, above_E = u_E, _highest(u_E, m_E, delta)
    at_below_E, at_above_E = np.full(len(u_E), -math.log(delta)), np.minimum(above_delta(above_E), 0)
    last_E = np.zeros(len(u_E))
    for _ in range(_MOST_STEPS):
        width_E = above_E - below_E
        if (width_E <= _CLOSE * above_E).all():
            break
        share_E = at_below_E / np.maximum(at_below_E - at_above_E, _SMALLEST)
        middle_E = below_E + width_E * np.clip(share_E, 1e-3, 1 - 1e-3)
        at_E = above_delta(middle_E)
        certified_E = at_E <= 0
        at_below_E = np.where(certified_E, at_below_E * np.where(last_E > 0, 0.5, 1), at_E)
        at_above_E = np.where(certified_E, at_E, at_above_E * np.where(last_E < 0, 0.5, 1))
        below_E, above_E = np.where(certified_E, below_E, middle_E), np.where(certified_E, middle_E, above_E)
        last_E = np.where(certified_E, 1.0, -1.0)
    return np.asarray(above_E)


def _probability(probability_EW: FloatArray, excess_EW: FloatArray) -> FloatArray:
    """B: the probability of the outcomes from the lowest on, the last one in part, whose mean exceeds m·u by 0."""
    sum_EW, up_to_EW = np.cumsum(probability_EW * excess_EW, axis=1), np.cumsum(probability_EW, axis=1)
    reached_EW = (sum_EW >= 0) & (excess_EW > 0)
    last_E = np.where(reached_EW.any(axis=1), reached_EW.argmax(axis=1), 0)
    rows, before_E = np.arange(len(last_E)), np.maximum(last_E - 1, 0)
    in_part_E = -sum_EW[rows, before_E] / np.where(last_E > 0, excess_EW[rows, last_E], 1)
    return np.asarray(np.where(last_E > 0, up_to_EW[rows, before_E] + in_part_E, up_to_EW[:, -1]))


def _log_choices(m: FloatArray | float, k: FloatArray) -> FloatArray:
    """ln of the binomial coefficients."""
    of_k, of_rest, of_m = (torch.lgamma(torch.as_tensor(x, dtype=torch.float64) + 1).numpy() for x in (k, m - k, m))
    return np.asarray(of_m - of_k - of_rest)
