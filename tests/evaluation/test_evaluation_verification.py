import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import best_balanced_accuracy, verification_accuracy
from tests.evaluation.pair_strategies import scored_pairs


def reference_accuracy(scores, same, folds, thresholds_of, accept):
    """k-fold accuracy by trying every threshold on every pair; thresholds come strictest first."""
    accuracies, chosen = [], []
    for fold in sorted(set(folds)):
        others = [k for k in range(len(scores)) if folds[k] != fold]
        best, best_right = None, -1
        for threshold in thresholds_of([scores[k] for k in others]):
            right = sum(accept(scores[k], threshold) == same[k] for k in others)
            if right > best_right:
                best, best_right = threshold, right
        held_out = [k for k in range(len(scores)) if folds[k] == fold]
        accuracies.append(sum(accept(scores[k], best) == same[k] for k in held_out) / len(held_out))
        chosen.append(best)
    return accuracies, chosen


def midpoints(scores):
    distinct = sorted(set(scores), reverse=True)
    return [np.inf, *((a + b) / 2 for a, b in itertools.pairwise(distinct)), -np.inf]


@st.composite
def folded_pairs(draw):
    scores, same = draw(scored_pairs())
    folds = draw(st.lists(st.integers(1, 4), min_size=len(same), max_size=len(same)))
    more_scores = draw(st.lists(st.integers(-6, 6), min_size=4, max_size=4))
    return np.append(scores, more_scores), np.append(same, [True, True, False, False]), np.append(folds, [1, 2, 1, 2])


@given(folded_pairs())
def test_exact_thresholds_are_the_best_midpoints_of_the_other_folds(pairs):
    scores, same, folds = pairs
    result = verification_accuracy(scores, same, folds)
    accuracies, thresholds = reference_accuracy(scores, same, folds, midpoints, lambda s, t: s >= t)
    assert result.accuracies == pytest.approx(accuracies, abs=1e-15)
    assert list(result.thresholds) == thresholds
    assert result.mean == pytest.approx(np.mean(accuracies))
    assert result.std == pytest.approx(np.std(accuracies))


@given(folded_pairs(), st.integers(0, 1000))
def test_the_insightface_grid_tries_400_squared_distances(pairs, seed):
    scores, same, folds = pairs
    scores = np.clip(scores / 6 + np.random.default_rng(seed).normal(0, 0.02, len(scores)), -1, 1)
    result = verification_accuracy(scores, same, folds, grid="insightface")
    accuracies, distances = reference_accuracy(
        scores, same, folds, lambda _: np.arange(0, 4, 0.01), lambda s, t: (2 - 2 * s) < t
    )
    assert result.accuracies == pytest.approx(accuracies, abs=1e-15)
    assert result.thresholds == pytest.approx([1 - t / 2 for t in distances])


@given(folded_pairs())
def test_accuracy_does_not_change_under_scaling_shifting_and_repeating(pairs):
    scores, same, folds = pairs
    result = verification_accuracy(scores, same, folds)
    scaled = verification_accuracy(scores * 4 - 3, same, folds)
    repeated = verification_accuracy(np.repeat(scores, 2), np.repeat(same, 2), np.repeat(folds, 2))
    assert scaled.accuracies == result.accuracies
    assert repeated.accuracies == pytest.approx(result.accuracies, abs=1e-15)
    assert repeated.thresholds == result.thresholds


def test_a_number_of_folds_means_contiguous_blocks():
    rng = np.random.default_rng(0)
    scores, same = rng.normal(size=23), np.arange(23) % 2 == 0
    blocks = np.repeat([0, 1, 2, 3], [6, 6, 6, 5])
    assert verification_accuracy(scores, same, 4) == verification_accuracy(scores, same, blocks)


def test_the_held_out_fold_does_not_choose_its_threshold():
    # the other folds cannot know that fold 0 needs its threshold at 5
    scores = np.array([6.0, 4.0, 1.0, -1.0, 1.0, -1.0])
    same = np.array([True, False, True, False, True, False])
    result = verification_accuracy(scores, same, np.array([0, 0, 1, 1, 2, 2]))
    assert result.accuracies[0] == 0.5
    assert result.thresholds[0] == 0


def test_a_midpoint_of_adjacent_floats_still_separates_them():
    low = 0.1
    high = np.nextafter(low, 1)
    scores, same = np.array([high, low] * 2), np.array([True, False] * 2)
    assert verification_accuracy(scores, same, 2).mean == 1


def test_useless_scores_of_mostly_impostors_reject_everything():
    same = np.array([True, False, False, False] * 3)
    result = verification_accuracy(np.zeros(12), same, 3)
    assert result.thresholds == (np.inf,) * 3
    assert result.mean == 0.75


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        (1, "at least 2"),
        (7, "at most one per pair"),
        ([0, 1, 0], "shape"),
        ([2] * 6, "other folds"),
        ([0, 0, 0, 1, 1, 1], "all genuine pairs are in one fold"),
        ([1, 0, 0, 1, 1, 1], "all impostor pairs are in one fold"),
    ],
)
def test_folds_that_do_not_fit_are_refused(folds, message):
    same = [True, True, True, False, False, False]
    with pytest.raises(DataError, match=message):
        verification_accuracy([1, 2, 3, 4, 5, 6], same, folds)


def test_the_grid_refuses_scores_that_are_not_cosines():
    with pytest.raises(DataError, match="cosines"):
        verification_accuracy([3.0, 0.1, 0.2, 0.3], [1, 0, 1, 0], 2, grid="insightface")


def test_an_unknown_grid_is_refused():
    with pytest.raises(ConfigError, match="insightface"):
        verification_accuracy([1, 0, 1, 0], [1, 0, 1, 0], 2, grid="facenet")


@given(scored_pairs())
def test_best_balanced_accuracy_is_the_maximum_over_all_thresholds(pairs):
    scores, same = pairs
    result = best_balanced_accuracy(scores, same)
    values = {
        threshold: ((scores[same] >= threshold).mean() + (scores[~same] < threshold).mean()) / 2
        for threshold in [*scores, np.inf]
    }
    assert result.value == pytest.approx(max(values.values()), abs=1e-15)
    assert values[result.threshold] == pytest.approx(result.value, abs=1e-15)


@given(scored_pairs())
def test_best_balanced_accuracy_depends_on_the_order_of_scores_alone(pairs):
    scores, same = pairs
    result = best_balanced_accuracy(scores, same)
    assert best_balanced_accuracy(np.arctan(scores), same).value == result.value
    assert best_balanced_accuracy(np.tile(scores, 2), np.tile(same, 2)) == result
    assert 0.5 <= result.value <= 1
