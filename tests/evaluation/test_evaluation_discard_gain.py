"""The gain over discarding at random: beside the curve's own routine, by loops, and in simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.evaluation import Bootstrap, error_versus_discard
from facemargin.evaluation.metrics.discard_gain import discard_gain

QUIET = Bootstrap(resamples=1)


@st.composite
def genuine_pairs(draw):
    count = draw(st.integers(1, 25))
    missed = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    quality = draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    return np.array(missed), np.array(quality, dtype=float)


def reference_relative(missed, quality, limit):
    """Discard one level after the other, and add up the rectangles."""
    order = sorted(zip(quality, missed, strict=True))
    total, left, area, at = len(order), list(order), 0.0, 0.0
    while left:
        error = sum(wrong for _, wrong in left) / len(left)
        left = [pair for pair in left if pair[0] > left[0][0]]
        until = (total - len(left)) / total
        area += error * (min(until, limit) - min(at, limit))
        at = until
    return area / (limit * sum(missed) / total)


@given(genuine_pairs(), st.sampled_from([0.1, 0.3, 0.5]))
def test_the_relative_area_by_loops(pairs, limit):
    missed, quality = pairs
    found = discard_gain(missed, quality, np.arange(len(missed)), limit, QUIET)
    if not missed.any():
        assert np.isnan(found.relative) and np.isnan(found.difference) and found.interval is None
        return
    assert found.relative == pytest.approx(reference_relative(missed.tolist(), quality.tolist(), limit))
    assert found.difference == found.relative - 1


@given(genuine_pairs())
def test_it_is_the_area_of_the_curve(pairs):
    missed, quality = pairs
    scores = np.append(np.where(missed, 0.0, 1.0), 0.5)  # one impostor pair, between the missed and the others
    same = np.append(np.ones(len(missed), bool), False)
    both = np.append(quality, 0)
    curve = error_versus_discard(scores, same, both, both, fmr=0.5, limits=0.3)
    found = discard_gain(missed, quality, np.arange(len(missed)), 0.3, QUIET)
    assert found.relative == pytest.approx(curve.limits[0].relative_to_start, nan_ok=True)


def test_the_interval_resamples_people_and_takes_both_areas_from_the_same_pairs():
    rng = np.random.default_rng(0)
    people = rng.integers(0, 9, 60)
    quality = rng.normal(size=60).round(1)
    missed = rng.random(60) < 0.5 - 0.2 * quality
    found = discard_gain(missed, quality, people, 0.3, Bootstrap(resamples=150, seed=5))
    names, values = np.unique(people), []
    for resample in range(150):
        drawn = np.random.default_rng((5, resample)).integers(len(names), size=len(names))
        rows = [row for person in drawn for row in np.flatnonzero(people == names[person])]
        values.append(reference_relative(missed[rows].tolist(), quality[rows].tolist(), 0.3) - 1)
    np.testing.assert_allclose(found.interval, np.quantile(values, [0.025, 0.975]), rtol=1e-12)


def test_random_orders_of_images_give_on_average_what_is_taken_for_them():
    # People with many errors and people with few; the quality of an image is drawn, that of a pair is the lower one.
    rng = np.random.default_rng(1)
    first, second = np.triu_indices(6, 1)
    people, images = 12, 6
    missed = (rng.random((people, 15)) < rng.beta(0.5, 1, (people, 1))).ravel()
    owners = np.repeat(np.arange(people), 15)
    found = []
    for _ in range(400):
        quality = rng.random((people, images))
        of_pairs = np.minimum(quality[:, first], quality[:, second]).ravel()
        found.append(discard_gain(missed, of_pairs, owners, 0.3, QUIET).relative)
    assert abs(np.mean(found) - 1) < 4 * np.std(found) / 20 and np.std(found) < 0.1


def simulated(rng, people, helps):
    """Pairs of people: each has a share of errors; quality foretells errors as far as it `helps`."""
    each = 3
    hard = rng.normal(size=people).repeat(each)
    error = hard + rng.normal(size=people * each)
    quality = -helps * error + rng.normal(size=people * each)
    return error > 1, quality, np.arange(people).repeat(each)


@pytest.mark.parametrize("helps", [0.0, 0.5])
def test_the_interval_covers_the_truth(helps):
    rng = np.random.default_rng(2)
    truth = discard_gain(*simulated(rng, 100_000, helps), 0.3, QUIET).difference
    assert abs(truth) < 0.01 if helps == 0 else truth < -0.15
    covered = []
    for _ in range(150):
        low, high = discard_gain(*simulated(rng, 100, helps), 0.3, Bootstrap(resamples=150)).interval
        covered.append(low <= truth <= high)
    assert 0.9 <= np.mean(covered) <= 0.99
