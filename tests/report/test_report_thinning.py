"""Thinned curves keep their ends and their spikes; moving averages are what a loop says."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facemargin.report.thinning import MAX_POINTS, kept_points, moving_average

VALUES = st.floats(-1e6, 1e6)


@given(st.lists(VALUES, min_size=1, max_size=300), st.integers(4, 40), st.randoms(use_true_random=False))
def test_ends_and_extremes_survive(values, max_points, random):
    y_R = np.array(values)
    x_R = np.sort([random.uniform(-5, 5) for _ in values])
    kept = kept_points(x_R, y_R, max_points)
    assert len(kept) <= max_points
    assert (np.diff(kept) > 0).all()
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    assert y_R[kept].min() == y_R.min()
    assert y_R[kept].max() == y_R.max()


def test_few_points_are_all_kept():
    x_R = np.arange(MAX_POINTS, dtype=float)
    np.testing.assert_array_equal(kept_points(x_R, x_R), np.arange(MAX_POINTS))


def test_points_at_one_place_are_thinned_too():
    y_R = np.random.default_rng(0).normal(size=5000)
    kept = kept_points(np.zeros(5000), y_R)
    assert {0, 4999, int(y_R.argmin()), int(y_R.argmax())} == set(kept.tolist())


@given(st.lists(st.one_of(VALUES, st.just(np.nan)), min_size=1, max_size=60), st.integers(0, 20))
def test_moving_average_is_the_mean_of_the_finite_neighbours(values, window):
    averages = moving_average(np.array(values), window)
    for i, average in enumerate(averages):
        near = [v for v in values[max(0, i - window // 2) : i + window // 2 + 1] if np.isfinite(v)]
        if near:
            np.testing.assert_allclose(average, sum(near) / len(near), rtol=1e-9, atol=1e-8)
        else:
            assert np.isnan(average)
