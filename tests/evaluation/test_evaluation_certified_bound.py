"""Bounds against a reference of 50 digits that sums every hinge, and against the definition."""

import math

import mpmath
import numpy as np
import pytest
from scipy import stats

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import certified_upper_bound, people_needed
from facemargin.evaluation.metrics.certified_bound import largest_observed

mpmath.mp.dps = 50


def hinge_bound(u, theta, m):
    """min over integers τ > m·u of Σ_{k<τ} F(k) / (τ − m·u), in 50 digits, with the sums from 0 on. For large m they
    begin where the terms are below e⁻¹⁶⁰ of the first that matters."""
    u, theta = mpmath.mpf(u), mpmath.mpf(theta)
    c = m * u
    start = max(0, math.floor(c - 18 * math.sqrt(c + 1) - 40)) if m > 2000 else 0
    b = mpmath.binomial(m, start) * theta**start * (1 - theta) ** (m - start)
    cdf, sum_of_cdfs, best, before = mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(1), mpmath.inf
    for k in range(start, m + 1):
        cdf += b
        sum_of_cdfs += cdf
        tau = k + 1
        if tau > c:
            value = sum_of_cdfs / (tau - c)
            if m > 2000 and value > before:
                break  # the ratio of a convex to a linear function falls, then rises
            best, before = min(best, value), value
        b = b * (m - k) / (k + 1) * theta / (1 - theta)
    return best


@pytest.mark.parametrize("m", [1, 2, 3, 10, 150, 1000])
@pytest.mark.parametrize("u", [0.0, 1e-9, 1e-3, 0.1, 1 / 3, 0.5, 0.9, 0.999, 1 - 1e-7])
@pytest.mark.parametrize("delta", [0.05, 0.3, 0.9, 1e-3, 1e-9])
def test_the_bound_is_exact(u, m, delta):
    _check(u, m, delta)


@pytest.mark.parametrize("delta", [0.05, 0.05 / 8])
@pytest.mark.parametrize("u", [0.0, 1e-6, 1e-4, 1e-2])
def test_the_bound_of_a_million_units_is_exact(u, delta):
    _check(u, 10**6, delta)


@pytest.mark.parametrize("u", [0.5, 0.999, 1 - 1e-6])
def test_the_bound_of_a_million_units_is_exact_at_high_rates(u):
    _check(u, 10**6, 0.05)


def _check(u, m, delta):
    """B is above δ just below the bound and at most δ just above, by less than 1e-9 (and 1e-9 of small bounds)."""
    bound, exact_delta = certified_upper_bound(u, m, 1 - delta), mpmath.mpf(1 - (1 - delta))
    near = 1e-9 * min(1, bound * 10)
    assert u <= bound <= 1
    if bound - near > u:
        assert hinge_bound(u, bound - near, m) > exact_delta
    if bound + near < 1:
        assert hinge_bound(u, bound + near, m) < exact_delta


def test_known_bounds():
    assert certified_upper_bound(0, 20) == pytest.approx(1 - 0.05 ** (1 / 20), rel=1e-14)
    assert certified_upper_bound(1, 20) == certified_upper_bound(1.0, 1) == 1
    assert certified_upper_bound(0.5, 1) == pytest.approx(1 - 0.05 * 0.5)  # Markov's inequality for 1 − X
    assert isinstance(certified_upper_bound(0.5, 1), float)


def test_arrays_are_broadcast():
    found = certified_upper_bound([[0.0], [0.01], [1.0]], [10, 1000])
    assert found.shape == (3, 2)
    each = [[certified_upper_bound(u, m) for m in (10, 1000)] for u in (0.0, 0.01, 1.0)]
    np.testing.assert_allclose(found, each, rtol=1e-11)
    assert certified_upper_bound([], []).shape == (0,)


def test_many_bounds_in_blocks_are_those_of_each():
    u = np.linspace(1e-4, 0.9, 300)
    m = np.where(np.arange(300) % 2, 150, 30_000)
    found = certified_upper_bound(u, m)
    for place in range(0, 300, 37):
        assert found[place] == pytest.approx(certified_upper_bound(u[place], m[place]), rel=1e-11)
    assert (np.diff(found[::2]) > 0).all() and (np.diff(found[1::2]) > 0).all()


def test_it_is_above_the_exact_bound_for_independent_units_and_close_to_it():
    """Clopper and Pearson's holds for m independent terms of 0 and 1, which the population may be."""
    for errors, m in ((0, 30), (3, 100), (40, 2000)):
        independent = stats.beta.ppf(0.95, errors + 1, m - errors)
        assert independent * (1 - 1e-12) <= certified_upper_bound(errors / m, m) < independent * 1.35


@pytest.mark.parametrize(
    ("rate", "delta", "people"),
    [
        (1e-2, 0.05, [598, 680, 1318, 2892]),
        (1e-3, 0.05, [5990, 6824, 13248, 29058]),
        (1e-4, 0.05, [59912, 68262, 132536, 290716]),
        (1e-3, 0.05 / 8, [10146, 11970, 24712, 53124]),
    ],
)
def test_people_needed(rate, delta, people):
    assert [people_needed(rate, share * rate, 1 - delta) for share in (0, 0.1, 0.3, 0.5)] == people
    assert [people_needed(rate, share * rate, 1 - delta, "gallery") for share in (0, 0.5)] == [
        people[0] // 2,
        people[3] // 2,
    ]


@pytest.mark.parametrize(("rate", "observed"), [(1e-2, 0.0), (1e-2, 1e-3), (0.3, 0.2), (0.9, 0.1), (0.999, 0.0)])
def test_one_unit_less_is_not_enough(rate, observed):
    m = people_needed(rate, observed, design="gallery")
    assert hinge_bound(observed, rate, m) <= 0.05 < (hinge_bound(observed, rate, m - 1) if m > 1 else 1)
    assert certified_upper_bound(observed, m) <= rate * (1 + 1e-12)


@pytest.mark.parametrize(("rate", "m"), [(0.02, 150), (0.02, 149), (0.1, 40), (0.7, 9), (1e-3, 50_000), (0.5, 10**5)])
def test_the_largest_observed_rate_is_the_one_whose_bound_is_the_rate(rate, m):
    largest = largest_observed(rate, m, 0.05)
    if largest is None:
        assert certified_upper_bound(0, m) > rate
    else:
        assert certified_upper_bound(largest, m) == pytest.approx(rate, rel=1e-9)
        assert certified_upper_bound(largest * 1.001 + 1e-9, m) > rate


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-0.1, 10), "observed has -0.1"),
        ((float("nan"), 10), "observed has nan"),
        ((0.1, 0), "units has 0"),
        ((0.1, 2.5), "units has 2.5"),
        (("0.1", 2), "observed holds"),
    ],
)
def test_what_has_no_bound(arguments, message):
    with pytest.raises(DataError, match=message):
        certified_upper_bound(*arguments)


def test_settings_that_mean_nothing():
    for confidence in (0, 1, 95, "high"):
        with pytest.raises(ConfigError, match="confidence is"):
            certified_upper_bound(0.1, 10, confidence)
    for rate, observed in ((1e-3, 1e-3), (1.0, 0.0), (0.0, 0.0), (0.1, -0.1)):
        with pytest.raises(ConfigError, match="expected an observed rate below"):
            people_needed(rate, observed)
    with pytest.raises(ConfigError, match="design is 'pairs', expected one of all-pairs, gallery, list"):
        people_needed(0.1, design="pairs")
