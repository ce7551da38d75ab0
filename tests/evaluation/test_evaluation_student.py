import math

import mpmath
import pytest
from scipy import stats

from facemargin.evaluation.metrics.student import student_quantile, student_tail


def exact_tail(t, freedom):
    """By integrating the density, in 30 digits."""
    with mpmath.workdps(30):
        v = mpmath.mpf(freedom)
        scale = mpmath.gamma((v + 1) / 2) / (mpmath.sqrt(v * mpmath.pi) * mpmath.gamma(v / 2))
        return float(mpmath.quad(lambda x: scale * (1 + x * x / v) ** (-(v + 1) / 2), [t, t + 1, t + 10, mpmath.inf]))


@pytest.mark.parametrize("freedom", [0.7, 1, 2.5, 4, 17.3, 250])
@pytest.mark.parametrize("t", [0.0, 0.01, 0.5, 1.0, 2.776, 9.0])
def test_tail_is_the_integral_of_the_density(t, freedom):
    assert student_tail(t, freedom) == pytest.approx(exact_tail(t, freedom), rel=1e-9)


@pytest.mark.parametrize("freedom", [1, 3.3, 40, 1e4, 1e7])
def test_tail_and_quantile_as_scipy_s(freedom):
    for t in (-30.0, -2.0, 0.0, 1e-9, 0.3, 5.0, 40.0, 1e6):
        assert student_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-6, abs=1e-300)
    for tail in (0.5, 0.4, 0.025, 1e-6):
        assert student_quantile(tail, freedom) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-6, abs=1e-9)


def test_far_tails():
    assert student_tail(math.inf, 3) == 0
    assert student_tail(-math.inf, 3) == 1
