"""Accuracy of same/different decisions. Shapes: K pairs, F folds, T thresholds."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.data.pairs.verification_set import contiguous_folds
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, pair_intervals
from facemargin.evaluation.metrics.inputs import as_array, as_identities
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray, check_pairs
from facemargin.evaluation.metrics.roc import roc_corners
from facemargin.evaluation.metrics.sorted_scores import SortedPairs


@dataclass(frozen=True)
class VerificationAccuracy:
    """Mean and standard deviation (with F, not F − 1) of the accuracies of the F folds; the accuracy of each fold and
    the threshold that was chosen on the other folds, in fold order. `interval` is that of the mean.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> found = fm.evaluation.verification_accuracy(scores, same, folds=[0, 1, 0, 1, 0, 1])
        >>> round(found.mean, 3), len(found.accuracies)
        (0.667, 2)
    """

    mean: float
    std: float
    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]
    interval: Interval | None = None


@dataclass(frozen=True)
class BestBalancedAccuracy:
    """The maximum of (TPR + TNR) / 2 over all thresholds, and the threshold that reaches it (scores at or above it are
    accepted).

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> best = fm.evaluation.best_balanced_accuracy(scores, same)
        >>> round(best.value, 3), best.threshold
        (0.833, 0.6)
    """

    value: float
    threshold: float
    interval: Interval | None = None


def verification_accuracy(
    scores: ArrayLike,
    same: ArrayLike,
    folds: int | ArrayLike = 10,
    grid: Literal["insightface"] | None = None,
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> VerificationAccuracy:
    """k-fold accuracy of K pairs (LFW's protocol): each fold is scored at the threshold that is best on the others.

    `scores` (K,), higher is more alike; `same` (K,) True for genuine; `folds` a number of contiguous blocks, as equal
    as can be, or (K,) fold numbers. Thresholds are exact: midway between two neighbouring scores of the other folds, or
    ±inf; scores at or above are accepted. Of equally accurate thresholds the highest is used.
    grid "insightface" tries squared distances 0, 0.01, … 3.99 instead, accepting d² < threshold as that project does;
    it needs cosine scores (d² = 2 − 2·score), and thresholds are reported as cosines.

    With `identities_a`, `identities_b` (K,), the mean carries a bootstrap interval by identity; the folds stay the
    same. Raises DataError for unusable pairs or folds, ConfigError for an unknown grid.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> round(fm.evaluation.verification_accuracy(scores, same, folds=[0, 1, 0, 1, 0, 1]).mean, 3)
        0.667
    """
    scores_K, same_K = check_pairs(scores, same)
    folds_K = fold_numbers(folds, same_K)
    candidates_T = _grid_thresholds(grid, scores_K)
    if candidates_T is not None:
        scores_K = 2 * scores_K - 2  # −d², so that comparisons with the grid round as they do on distances
    order_K = np.argsort(scores_K)
    scores_K, sorted_same_K, folds_K = scores_K[order_K], same_K[order_K], folds_K[order_K]

    def by_fold(weights_K: IntArray) -> tuple[FloatArray, FloatArray]:
        return _accuracy_by_fold(scores_K, sorted_same_K, folds_K, weights_K[order_K], candidates_T)

    def mean_accuracy(weights_K: IntArray) -> list[float]:
        accuracies_F, _ = by_fold(weights_K)
        known = accuracies_F[~np.isnan(accuracies_F)]
        return [known.mean() if len(known) else np.nan]

    accuracies_F, thresholds_F = by_fold(np.ones_like(order_K))
    if candidates_T is not None:
        thresholds_F = 1 + thresholds_F / 2
    intervals = pair_intervals(mean_accuracy, 1, same_K, identities_a, identities_b, bootstrap)
    return VerificationAccuracy(
        mean=float(accuracies_F.mean()),
        std=float(accuracies_F.std()),
        accuracies=tuple(accuracies_F.tolist()),
        thresholds=tuple(thresholds_F.tolist()),
        interval=intervals[0],
    )


def best_balanced_accuracy(
    scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> BestBalancedAccuracy:
    """The maximum of (TPR + TNR) / 2 over all thresholds for K pairs: `scores` (K,), `same` (K,) True for genuine.

    The threshold is chosen on the same pairs that it is tested on, so the result is too high for small sets. Of equally
    good thresholds the highest is used. Intervals as in `tar_at_far`. Raises DataError for unusable pairs.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> fm.evaluation.best_balanced_accuracy(scores, same).threshold
        0.6
    """
    scores_K, same_K = check_pairs(scores, same)

    def values(weights_K: IntArray) -> list[float]:
        pairs = SortedPairs.of(scores_K, same_K, weights_K)
        return [_best_balanced(pairs)[0] if pairs.is_complete else np.nan]

    value, threshold = _best_balanced(SortedPairs.of(scores_K, same_K))
    intervals = pair_intervals(values, 1, same_K, identities_a, identities_b, bootstrap)
    return BestBalancedAccuracy(value, threshold, intervals[0])


def _best_balanced(pairs: SortedPairs) -> tuple[float, float]:
    far_T, tar_T, threshold_T = roc_corners(pairs)
    balanced_T = (tar_T + (1 - far_T)) / 2
    best = int(np.argmax(balanced_T))
    return float(balanced_T[best]), float(threshold_T[best])


def fold_numbers(folds: int | ArrayLike, same_K: BoolArray) -> IntArray:
    """The fold (K,) of every pair, counted from 0. Raises DataError if the pairs cannot be divided in this way."""
    num_pairs = len(same_K)
    if np.ndim(as_array("folds", folds)) == 0:
        number = np.asarray(as_array("folds", folds))
        if number.dtype.kind not in "fiu" or not float(number).is_integer():
            raise ConfigError(
                f"folds is {number.item()!r}, expected a whole number of folds, or the fold number of every pair"
            )
        num_folds = int(number)
        if not 2 <= num_folds <= num_pairs:
            raise DataError(
                f"{counted(num_folds, 'fold')} for {counted(num_pairs, 'pair')}; expected at least 2 folds and at "
                "most one per pair"
            )
        fold_K = contiguous_folds(num_pairs, num_folds)
    else:
        folds_K = as_identities("folds", folds)
        if folds_K.shape != same_K.shape:
            raise DataError(f"folds has shape {folds_K.shape}, expected {same_K.shape}: one fold number per pair")
        numbers_F, fold_K = np.unique(folds_K, return_inverse=True)
        if len(numbers_F) < 2:
            raise DataError(
                f"all pairs are in fold {numbers_F[0]}, but the threshold of a fold is chosen on the other folds: "
                "expected at least 2 folds"
            )
    for kind, pairs_K in (("genuine", same_K), ("impostor", ~same_K)):
        owners = np.unique(fold_K[pairs_K])
        if len(owners) == 1:
            raise DataError(
                f"all {kind} pairs are in one fold (number {owners[0]} in order), so the other folds cannot "
                "choose its threshold; use fewer folds, or give fold numbers that mix both kinds"
            )
    return fold_K


def _grid_thresholds(grid: str | None, scores_K: FloatArray) -> FloatArray | None:
    """Thresholds on −d², highest first; None for exact thresholds."""
    if grid is None:
        return None
    if grid != "insightface":
        raise ConfigError(f"unknown grid {grid!r} of verification thresholds; known: insightface, or None for exact")
    if np.abs(scores_K).max() > 1 + 1e-5:
        raise DataError(
            f"scores reach {scores_K[np.abs(scores_K).argmax()]:.4g}; the insightface grid is of squared distances of "
            "unit vectors and needs cosines in [-1, 1]"
        )
    # d² < t, written as −d² ≥ the next number above −t
    thresholds: FloatArray = np.nextafter(-np.arange(0, 4, 0.01), np.inf)
    return thresholds


def _accuracy_by_fold(
    scores_K: FloatArray, same_K: BoolArray, folds_K: IntArray, weights_K: IntArray, candidates_T: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """accuracies_F and thresholds_F for pairs in ascending order of score, each counted `weights_K` times. NaN for a
    fold that, in a resample, has no pairs to score, or no pairs of both kinds to choose the threshold on."""
    num_folds = int(folds_K.max()) + 1
    accuracies_F, thresholds_F = np.full((2, num_folds), np.nan)
    for fold in range(num_folds):
        held_out_K = (folds_K == fold) & (weights_K > 0)
        others_K = (folds_K != fold) & (weights_K > 0)
        if held_out_K.any() and (others_K & same_K).any() and (others_K & ~same_K).any():
            threshold = _best_threshold(scores_K[others_K], same_K[others_K], weights_K[others_K], candidates_T)
            correct = (scores_K[held_out_K] >= threshold) == same_K[held_out_K]
            accuracies_F[fold] = np.average(correct, weights=weights_K[held_out_K])
            thresholds_F[fold] = threshold
    return accuracies_F, thresholds_F


def _best_threshold(
    scores_K: FloatArray, same_K: BoolArray, weights_K: IntArray, candidates_T: FloatArray | None
) -> float:
    """The highest of the most accurate thresholds, for pairs in ascending order of score."""
    votes_K = np.where(same_K, weights_K, -weights_K)
    # gain_K1[i]: how many more decisions are correct if scores_K[i:] are accepted than if nothing is
    gain_K1 = np.append(np.cumsum(votes_K[::-1])[::-1], 0)
    if candidates_T is not None:
        return float(candidates_T[np.argmax(gain_K1[np.searchsorted(scores_K, candidates_T)])])
    cuts = np.flatnonzero(np.concatenate([[True], np.diff(scores_K) > 0, [True]]))[::-1]
    best = int(cuts[np.argmax(gain_K1[cuts])])
    if best == len(scores_K):
        return np.inf
    if best == 0:
        return -np.inf
    low, high = scores_K[best - 1], scores_K[best]
    # the midpoint of two adjacent floats is rounded to one of them, which must not be the lower one
    return float(max(low / 2 + high / 2, np.nextafter(low, np.inf)))
