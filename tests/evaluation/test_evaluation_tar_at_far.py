from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import ConfigError
from facemargin.evaluation import tar_at_far
from facemargin.evaluation.metrics import nearest_corner
from tests.evaluation.pair_strategies import scored_pairs


def counts_at(scores, same, threshold):
    accepted_genuine = sum(1 for s, g in zip(scores, same, strict=True) if g and s >= threshold)
    accepted_impostors = sum(1 for s, g in zip(scores, same, strict=True) if not g and s >= threshold)
    return accepted_genuine, accepted_impostors


def candidates(scores):
    return [*sorted(set(scores.tolist())), np.inf]


@given(scored_pairs(), st.data())
def test_at_most_takes_the_smallest_threshold_that_keeps_the_far(pairs, data):
    scores, same = pairs
    impostors, genuine = int((~same).sum()), int(same.sum())
    allowed = data.draw(st.integers(0, impostors))
    (point,) = tar_at_far(scores, same, [allowed / impostors]).points
    for threshold in candidates(scores):
        accepted_genuine, accepted_impostors = counts_at(scores, same, threshold)
        if Fraction(accepted_impostors, impostors) <= Fraction(allowed, impostors):
            break
    assert point.threshold == threshold
    assert point.impostors_accepted == accepted_impostors
    assert point.far == accepted_impostors / impostors
    assert point.tar == accepted_genuine / genuine
    assert (point.impostors, point.genuine) == (impostors, genuine)


@given(scored_pairs(), st.integers(0, 64))
def test_nearest_takes_the_nearest_far_and_the_largest_tar_there(pairs, sixtyfourths):
    scores, same = pairs
    far, impostors = sixtyfourths / 64, int((~same).sum())
    (point,) = tar_at_far(scores, same, [far], rule="nearest").points
    attainable = [counts_at(scores, same, threshold) for threshold in candidates(scores)]
    distance = min(abs(Fraction(accepted, impostors) - Fraction(far)) for _, accepted in attainable)
    accepted = max(a for _, a in attainable if abs(Fraction(a, impostors) - Fraction(far)) == distance)
    assert point.impostors_accepted == accepted
    assert point.tar == max(g for g, a in attainable if a == accepted) / int(same.sum())
    assert counts_at(scores, same, point.threshold)[1] == accepted


def published_points(scores, same):
    """(impostors, genuine) accepted at each point that scikit-learn's roc_curve leaves with drop_intermediate."""
    points = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        genuine, impostors = counts_at(scores, same, threshold)
        points.append((impostors, genuine))
    kept = [(0, 0), points[0]]
    for before, here, after in zip(points, points[1:], points[2:], strict=False):
        bends = any(after[kind] - here[kind] != here[kind] - before[kind] for kind in (0, 1))
        kept += [here] if bends else []
    return [*kept, points[-1]] if len(points) > 1 else kept


def published_tar(scores, same, far):
    """As the IJB scripts: the points from the last to the first, of the nearest FARs the first one."""
    impostors, genuine = int((~same).sum()), int(same.sum())
    best = None
    for accepted, right in reversed(published_points(scores, same)):
        distance = abs(accepted / impostors - far)
        if best is None or distance < best[0]:
            best = distance, accepted, right / genuine
    return best[1:]


@given(scored_pairs(), st.integers(0, 64), st.sampled_from([1, 2, 1024]))
def test_published_takes_the_nearest_far_of_the_points_that_the_scripts_see(pairs, sixtyfourths, window):
    scores, same = pairs
    far = sixtyfourths / 64
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest_corner, "WINDOW", window)
        (point,) = tar_at_far(scores, same, [far], rule="published").points
    assert (point.impostors_accepted, point.tar) == published_tar(scores, same, far)
    assert counts_at(scores, same, point.threshold)[1] == point.impostors_accepted


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_published_of_many_pairs(dtype):
    rng = np.random.default_rng(3)
    same = rng.random(3000) < 0.02
    scores = np.round(rng.normal(size=3000) + 2 * same, 3).astype(dtype)
    fars = [1e-4, 1e-3, 0.01, 0.1, 0.5]
    points = tar_at_far(scores, same, fars, rule="published").points
    assert [(one.impostors_accepted, one.tar) for one in points] == [published_tar(scores, same, far) for far in fars]


def test_published_may_be_far_from_the_target_where_impostors_are_few():
    scores = np.concatenate([np.linspace(0.9, 0, 10), [0.95, 0.55, 0.53, 0.1]])
    same = np.arange(14) >= 10
    (published,) = tar_at_far(scores, same, 0.3, rule="published").points
    (nearest,) = tar_at_far(scores, same, 0.3, rule="nearest").points
    assert (published.tar, published.far, published.threshold) == (0.75, 0.4, 0.53)
    assert (nearest.tar, nearest.far) == (0.25, 0.3)


@given(scored_pairs())
def test_tar_does_not_fall_as_the_far_rises(pairs):
    fars = [0, 0.01, 0.1, 0.25, 0.5, 0.75, 1]
    for rule in ("at_most", "nearest", "published"):
        tars = [point.tar for point in tar_at_far(*pairs, fars, rule=rule).points]
        assert tars == sorted(tars)
        assert tars[-1] == 1


@given(scored_pairs(), st.sampled_from([0, 0.1, 0.3, 0.5]), st.sampled_from(["at_most", "nearest"]))
def test_only_the_order_of_scores_matters_and_not_how_often_all_are_repeated(pairs, far, rule):
    scores, same = pairs
    (point,) = tar_at_far(scores, same, [far], rule=rule).points
    (transformed,) = tar_at_far(np.exp(scores) - 5, same, [far], rule=rule).points
    (repeated,) = tar_at_far(np.tile(scores, 3), np.tile(same, 3), [far], rule=rule).points
    assert (transformed.tar, transformed.far) == (point.tar, point.far)
    assert (repeated.tar, repeated.far, repeated.threshold) == (point.tar, point.far, point.threshold)


def test_a_far_that_is_no_binary_fraction_allows_its_whole_number_of_impostors():
    scores = np.arange(101.0)
    same = scores == 0
    for hundredths in range(101):
        assert tar_at_far(scores, same, [hundredths / 100]).points[0].impostors_accepted == hundredths


def test_an_impostor_with_the_highest_score_leaves_no_finite_threshold():
    (point,) = tar_at_far([0.9, 0.8], [False, True], [0.0]).points
    assert (point.threshold, point.tar, point.impostors_accepted) == (np.inf, 0, 0)


def test_of_two_equally_near_fars_the_larger_is_taken():
    scores, same = [0.9, 0.8, 0.7, 0.6], [False, True, False, True]
    (point,) = tar_at_far(scores, same, [0.25], rule="nearest").points
    assert (point.far, point.tar, point.threshold) == (0.5, 0.5, 0.8)


def test_scores_in_float32_keep_their_thresholds():
    scores = np.array([0.1, 0.2, 0.3, 0.4], dtype=np.float32)
    same = np.array([False, True, False, True])
    (point,) = tar_at_far(scores, same, [0.5]).points
    assert (scores >= np.float32(point.threshold)).tolist() == [False, True, True, True]


def test_results_read_as_a_dictionary():
    assert tar_at_far([1, 2, 3, 4], [0, 0, 1, 1], [0.1, 0.5]).tar == {0.1: 1.0, 0.5: 1.0}


@pytest.mark.parametrize("far", [-0.1, 1.1, np.nan])
def test_a_far_outside_0_to_1_is_refused(far):
    with pytest.raises(ConfigError, match="outside"):
        tar_at_far([1, 2], [0, 1], [far])


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match="at_most, nearest"):
        tar_at_far([1, 2], [0, 1], [0.1], rule="interpolated")
