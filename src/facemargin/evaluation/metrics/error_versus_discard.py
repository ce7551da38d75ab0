"""Measures whether discarding images of low quality lowers the error. (ISO/IEC 29794-1; Grother and Tabassi, TPAMI
2007; arXiv 2303.13294.)

Shapes: K pairs, G genuine pairs, T points of the curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, pair_intervals
from facemargin.evaluation.metrics.inputs import as_rate, as_rates
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray, check_finite, check_pairs
from facemargin.evaluation.metrics.sorted_scores import SortedPairs, allowed_count, highest_rejected

REFIT_FRACTIONS = np.arange(100) / 100


@dataclass(frozen=True)
class DiscardLimit:
    """Figures of the curve up to one discarded fraction.

    `fnmr`: the error after discarding as much as possible, but at most `limit`. `pauc`: the area under the step curve
    from 0 to `limit`. `relative_to_start` = pauc / (limit · starting FNMR); 1 means that quality does not help.
    `relative_to_ideal` = (pauc − ideal) / (limit · starting FNMR − ideal), where ideal is the area if the false
    non-matches were discarded first; 0 is perfect, 1 means no help. The two ratios are NaN if there is no error at the
    start. All four figures are NaN if the curve ends before the limit.

    Examples:
        >>> import facemargin as fm
        >>> quality_a, quality_b = [5, 4, 1, 5, 4, 3], [5, 5, 5, 4, 4, 2]
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> curve = fm.evaluation.error_versus_discard(scores, same, quality_a, quality_b, fmr=0.4)
        >>> [(point.limit, round(point.pauc, 3)) for point in curve.limits]
        [(0.1, 0.0), (0.2, 0.0), (0.3, 0.0)]
    """

    limit: float
    fnmr: float
    pauc: float
    relative_to_start: float
    relative_to_ideal: float
    fnmr_interval: Interval | None = None
    pauc_interval: Interval | None = None
    relative_to_start_interval: Interval | None = None
    relative_to_ideal_interval: Interval | None = None


@dataclass(frozen=True, repr=False)
class ErrorVersusDiscard:
    """fnmr_T[t] is the FNMR of the remaining genuine pairs after the fraction discarded_T[t] of them is discarded. It
    is valid up to the next point, the last one up to `end`. From `end` on there are no impostor pairs left to choose a
    threshold (1 if the threshold is fixed). `threshold` and `fmr` are the values at the start, with nothing
    discarded.

    Examples:
        >>> import facemargin as fm
        >>> quality_a, quality_b = [5, 4, 1, 5, 4, 3], [5, 5, 5, 4, 4, 2]
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> curve = fm.evaluation.error_versus_discard(scores, same, quality_a, quality_b, fmr=0.01)
        >>> curve.discarded_T.round(2).tolist(), curve.fnmr_T.round(2).tolist()
        ([0.0, 0.33, 0.67], [0.33, 0.0, 0.0])
        >>> curve
        ErrorVersusDiscard(3 points, FNMR 0.3333 with nothing discarded, at FMR 0 and threshold 0.8)
    """

    discarded_T: FloatArray
    fnmr_T: FloatArray
    threshold: float
    fmr: float
    limits: tuple[DiscardLimit, ...]
    end: float = 1.0

    def __repr__(self) -> str:
        start = f"FNMR {self.fnmr_T[0]:.4g} with nothing discarded"
        at = f"at FMR {self.fmr:.4g} and threshold {self.threshold:.4g}"
        return f"ErrorVersusDiscard({counted(len(self.fnmr_T), 'point')}, {start}, {at})"


def error_versus_discard(
    scores: ArrayLike,
    same: ArrayLike,
    quality_a: ArrayLike,
    quality_b: ArrayLike,
    fmr: float = 1e-2,
    fnmr: float | None = None,
    limits: float | Sequence[float] = (0.1, 0.2, 0.3),
    refit: bool = False,
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> ErrorVersusDiscard:
    """The error-versus-discard curve of K pairs and its partial areas.

    `scores` (K,): higher is more alike. `quality_a`, `quality_b` (K,): higher is better. `same` (K,): True for genuine
    pairs. The quality of a pair is the lower of its two images' qualities. The threshold is fixed with nothing
    discarded: the smallest with FMR ≤ `fmr`, or, if `fnmr` is given, the largest with FNMR ≤ `fnmr`. Then genuine pairs
    are discarded from the lowest quality up, equal qualities together, and the FNMR of the remaining pairs is computed.
    With `refit`, impostor pairs of the same qualities are discarded as well, and the threshold is chosen again at `fmr`
    each time. The curve then advances in steps of a hundredth of the genuine pairs and ends when no impostor pair is
    left. A limit at or beyond this end has NaN figures.

    With `identities_a`, `identities_b` (K,), the figures at each limit carry bootstrap intervals by identity. Raises
    DataError for unusable pairs or qualities, ConfigError for rates or limits outside (0, 1).

    Examples:
        >>> import facemargin as fm
        >>> quality_a, quality_b = [5, 4, 1, 5, 4, 3], [5, 5, 5, 4, 4, 2]
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> curve = fm.evaluation.error_versus_discard(scores, same, quality_a, quality_b, fmr=0.01)
        >>> round(float(curve.fnmr_T[0]), 3), curve.threshold
        (0.333, 0.8)
    """
    scores_K, same_K = check_pairs(scores, same)
    quality_K = np.minimum(
        check_finite("quality_a", quality_a, same_K.shape), check_finite("quality_b", quality_b, same_K.shape)
    )
    fmr, fnmr, limits = _check_rates(fmr, fnmr, limits, refit)

    def curve(weights_K: IntArray) -> tuple[FloatArray, FloatArray, float, float]:
        pairs = SortedPairs.of(scores_K, same_K, weights_K)
        threshold = _start_threshold(pairs, fmr, fnmr)
        discarded_T, level_T = _discard_levels(quality_K[same_K], weights_K[same_K])
        if refit:
            chosen_T = np.unique(np.searchsorted(discarded_T, REFIT_FRACTIONS).clip(max=len(level_T) - 1))
            fnmr_T = _refit_fnmr(scores_K, same_K, quality_K, weights_K, level_T[chosen_T], fmr)
            known = discarded_T[chosen_T]
            end = float(known[len(fnmr_T)]) if len(fnmr_T) < len(known) else 1.0
            discarded_T = known[: len(fnmr_T)]
        else:
            end = 1.0
            fnmr_T = _fixed_fnmr(scores_K[same_K] < threshold, quality_K[same_K], weights_K[same_K], level_T)
        return discarded_T, fnmr_T, threshold, end

    def figures(weights_K: IntArray) -> list[float]:
        if not (weights_K[same_K].any() and weights_K[~same_K].any()):
            return [np.nan] * (4 * len(limits))
        discarded_T, fnmr_T, _, end = curve(weights_K)
        return [figure for limit in limits for figure in _limit_figures(discarded_T, fnmr_T, end, limit)]

    discarded_T, fnmr_T, threshold, end = curve(np.ones(len(same_K), dtype=np.int64))
    intervals = pair_intervals(figures, 4 * len(limits), same_K, identities_a, identities_b, bootstrap)
    return ErrorVersusDiscard(
        discarded_T=discarded_T,
        fnmr_T=fnmr_T,
        threshold=threshold,
        fmr=float(np.mean(scores_K[~same_K] >= threshold)),
        limits=tuple(
            DiscardLimit(limit, *_limit_figures(discarded_T, fnmr_T, end, limit), *intervals[4 * i : 4 * i + 4])
            for i, limit in enumerate(limits)
        ),
        end=end,
    )


def _check_rates(
    fmr: float, fnmr: float | None, limits: float | Sequence[float], refit: bool
) -> tuple[float, float | None, tuple[float, ...]]:
    """The rates and limits as numbers. Raises ConfigError for values that are not numbers or not rates."""
    limits = as_rates("limits", limits)
    fmr = as_rate("fmr", fmr)
    fnmr = None if fnmr is None else as_rate("fnmr", fnmr)
    for name, rate in [("fmr", fmr), ("fnmr", fnmr), *(("limit", limit) for limit in limits)]:
        if rate is not None and not 0 < rate < 1:
            raise ConfigError(f"error versus discard: {name}={rate}, expected a number between 0 and 1")
    if refit and fnmr is not None:
        raise ConfigError(
            "error versus discard: refit chooses the threshold by the FMR again, so it cannot be combined with fnmr: "
            "remove one of them"
        )
    return fmr, fnmr, limits


def _start_threshold(pairs: SortedPairs, fmr: float, fnmr: float | None) -> float:
    """The smallest threshold with FMR ≤ fmr, or the largest with FNMR ≤ fnmr. Scores at or above it are accepted."""
    if fnmr is None:
        return pairs.lowest_above(highest_rejected(pairs.impostor, fmr))
    allowed = allowed_count(fnmr, pairs.genuine.total)
    place = pairs.genuine.last_place(allowed)
    return float(pairs.genuine.scores_N[place])


def _discard_levels(quality_G: FloatArray, weights_G: IntArray) -> tuple[FloatArray, FloatArray]:
    """level_T and discarded_T: the fraction of the genuine pairs that is discarded if only qualities ≥ level_T[t] are
    kept."""
    drawn_G = weights_G > 0
    level_T, place_G = np.unique(quality_G[drawn_G], return_inverse=True)
    at_level_T = np.bincount(place_G, weights=weights_G[drawn_G])
    # At the start nothing is discarded, not even impostor pairs of lower quality than all genuine pairs.
    level_T[0] = -np.inf
    return (np.cumsum(at_level_T) - at_level_T) / at_level_T.sum(), level_T


def _fixed_fnmr(wrong_G: BoolArray, quality_G: FloatArray, weights_G: IntArray, level_T: FloatArray) -> FloatArray:
    """FNMR of the genuine pairs whose quality is at least each level, for one threshold."""
    place_G = np.searchsorted(level_T, quality_G, side="right") - 1
    at_level_T = np.bincount(place_G, weights=weights_G, minlength=len(level_T))
    wrong_T = np.bincount(place_G, weights=weights_G * wrong_G, minlength=len(level_T))
    return np.cumsum(wrong_T[::-1])[::-1] / np.cumsum(at_level_T[::-1])[::-1]


def _refit_fnmr(
    scores_K: FloatArray,
    same_K: BoolArray,
    quality_K: FloatArray,
    weights_K: IntArray,
    level_T: FloatArray,
    fmr: float,
) -> FloatArray:
    """FNMR of the pairs whose quality is at least each level, each at its own threshold. It ends when no impostor pair
    is left."""
    fnmr = []
    for level in level_T:
        kept_K = quality_K >= level
        pairs = SortedPairs.of(scores_K[kept_K], same_K[kept_K], weights_K[kept_K])
        if pairs.impostor.total == 0:
            break
        accepted = int(pairs.genuine.above(highest_rejected(pairs.impostor, fmr)))
        fnmr.append(1 - accepted / pairs.genuine.total)
    return np.array(fnmr)


def _limit_figures(
    discarded_T: FloatArray, fnmr_T: FloatArray, end: float, limit: float
) -> tuple[float, float, float, float]:
    """fnmr, pauc, relative_to_start, relative_to_ideal of `DiscardLimit`, on a curve that is known up to `end`."""
    if limit >= end:
        return np.nan, np.nan, np.nan, np.nan
    start = float(fnmr_T[0])
    at_limit = float(fnmr_T[np.searchsorted(discarded_T, limit, side="right") - 1])
    pauc = float(np.sum(fnmr_T * np.diff(np.append(discarded_T, 1.0).clip(max=limit))))
    flat = limit * start
    # ∫ (e − x)/(1 − x) dx from 0 to min(limit, e), e the starting FNMR: what is left if only errors are discarded
    end = min(limit, start)
    ideal = end + (1 - start) * float(np.log1p(-end))
    relative_to_start = pauc / flat if flat > 0 else np.nan
    relative_to_ideal = (pauc - ideal) / (flat - ideal) if flat > ideal else np.nan
    return at_limit, pauc, relative_to_start, relative_to_ideal
