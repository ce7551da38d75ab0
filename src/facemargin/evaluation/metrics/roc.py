"""The exact receiver operating characteristic (ROC). Shapes: K pairs, T points of the curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, pair_intervals
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray, check_pairs
from facemargin.evaluation.metrics.sorted_scores import SortedPairs

_ROUNDING = 1e-15


@dataclass(frozen=True, repr=False)
class RocCurve:
    """The corners of the ROC from (0, 0) to (1, 1): accepting scores ≥ threshold_T[t] gives far_T[t] and tar_T[t].

    `eer` is where FAR = 1 − TAR on the line through the corners; `auc` is the area under that line, the probability
    that a genuine pair outscores an impostor pair, ties counted half.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> curve = fm.evaluation.roc_curve(scores, same)
        >>> round(curve.auc, 3), round(curve.eer, 3)
        (0.889, 0.333)
        >>> curve
        RocCurve(6 points, AUC 0.8889, EER 0.3333)
    """

    far_T: FloatArray
    tar_T: FloatArray
    threshold_T: FloatArray
    eer: float
    auc: float
    eer_interval: Interval | None = None
    auc_interval: Interval | None = None

    def __repr__(self) -> str:
        return f"RocCurve({counted(len(self.far_T), 'point')}, AUC {self.auc:.4g}, EER {self.eer:.4g})"


def roc_curve(
    scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> RocCurve:
    """ROC of K pairs: `scores` (K,), higher is more alike, `same` (K,) True for genuine.

    The curve is exact: scores are not binned, and only points inside a straight part of the line are left out. It
    therefore has at most two points per genuine pair for any number of impostors. With `identities_a`, `identities_b`
    (K,), EER and AUC carry bootstrap intervals by identity. Raises DataError for unusable pairs.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> round(fm.evaluation.roc_curve(scores, same).auc, 3)
        0.889
    """
    scores_K, same_K = check_pairs(scores, same, keep_float32=True)

    def figures(weights_K: IntArray) -> list[float]:
        pairs = SortedPairs.of(scores_K, same_K, weights_K)
        if not pairs.is_complete:
            return [np.nan, np.nan]
        far_T, tar_T, _ = roc_corners(pairs)
        return [equal_error_rate(far_T, tar_T), area(far_T, tar_T)]

    far_T, tar_T, threshold_T = roc_corners(SortedPairs.of(scores_K, same_K))
    intervals = pair_intervals(figures, 2, same_K, identities_a, identities_b, bootstrap)
    return RocCurve(
        far_T, tar_T, threshold_T, equal_error_rate(far_T, tar_T), area(far_T, tar_T), intervals[0], intervals[1]
    )


def roc_corners(pairs: SortedPairs) -> tuple[FloatArray, FloatArray, FloatArray]:
    """far_T, tar_T and threshold_T from (0, 0, +inf) to (1, 1, lowest score).

    The line changes direction only at genuine scores: just above each score (after the impostors in between) and at it.
    """
    genuine, impostor = pairs.genuine, pairs.impostor
    score_G = np.unique(genuine.scores_N)[::-1]
    above_G = np.searchsorted(impostor.scores_N, score_G, side="right")
    some_G = above_G < len(impostor.scores_N)
    just_above_G = np.where(some_G, impostor.scores_N[np.where(some_G, above_G, 0)], np.inf)
    lowest = min(genuine.scores_N[0], impostor.scores_N[0])

    def corners(above_G: IntArray, at_G: IntArray, total: int) -> FloatArray:
        return np.concatenate([[0], np.stack([above_G, at_G], axis=1).ravel(), [total]]) / total

    far_T = corners(impostor.above(score_G), impostor.at_or_above(score_G), impostor.total)
    tar_T = corners(genuine.above(score_G), genuine.at_or_above(score_G), genuine.total)
    threshold_T = np.concatenate([[np.inf], np.stack([just_above_G, score_G], axis=1).ravel(), [lowest]])
    new_T = np.append(True, (np.diff(far_T) > 0) | (np.diff(tar_T) > 0))
    return far_T[new_T], tar_T[new_T], threshold_T[new_T]


def equal_error_rate(far_T: FloatArray, tar_T: FloatArray) -> float:
    """The FAR at which the line through the points crosses FAR = 1 − TAR."""
    excess_T = far_T - (1 - tar_T)
    after = int(np.argmax(excess_T >= 0))
    share = excess_T[after] / (excess_T[after] - excess_T[after - 1])
    rate = float(far_T[after] - share * (far_T[after] - far_T[after - 1]))
    return rate if rate > _ROUNDING else 0.0  # for a perfect curve, 1 − (1 − x) would give 1e-17


def area(far_T: FloatArray, tar_T: FloatArray) -> float:
    """The area under the line through the points."""
    return float(np.sum(np.diff(far_T) * (tar_T[1:] + tar_T[:-1])) / 2)
