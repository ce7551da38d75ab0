"""True accept rate at a false accept rate. Shapes: K pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, pair_intervals
from facemargin.evaluation.metrics.inputs import as_rates
from facemargin.evaluation.metrics.nearest_corner import nearest_corner
from facemargin.evaluation.metrics.pairs import IntArray, check_pairs
from facemargin.evaluation.metrics.sorted_scores import SortedPairs, SortedScores, highest_rejected

FarRule = Literal["at_most", "nearest", "published"]
RULES = ("at_most", "nearest", "published")


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold (scores at or above it are accepted) and its error rates.

    `tar` rests on `genuine` pairs, and `far` on `impostors_accepted` of `impostors` pairs: a FAR with a handful of
    accepted impostors is very uncertain. `interval` is that of `tar`; the threshold is chosen again in each resample.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> (point,) = fm.evaluation.tar_at_far(scores, same, 0.34).points
        >>> round(point.tar, 3), point.impostors_accepted, point.impostors
        (1.0, 1, 3)
    """

    target_far: float
    far: float
    tar: float
    threshold: float
    impostors_accepted: int
    impostors: int
    genuine: int
    interval: Interval | None = None


@dataclass(frozen=True)
class TarAtFar:
    """Operating points in the order of the requested FARs, and the rule that chose their thresholds.

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> found = fm.evaluation.tar_at_far(scores, same, [0.01, 0.34])
        >>> [round(point.tar, 3) for point in found.points]
        [0.667, 1.0]
    """

    points: tuple[OperatingPoint, ...]
    rule: FarRule

    @property
    def tar(self) -> dict[float, float]:
        """{target FAR: TAR}"""
        return {point.target_far: point.tar for point in self.points}


def tar_at_far(
    scores: ArrayLike,
    same: ArrayLike,
    fars: float | Sequence[float],
    rule: FarRule = "at_most",
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> TarAtFar:
    """TAR at each FAR of `fars` for K pairs: `scores` (K,), higher is more alike, `same` (K,) True for genuine.

    rule "at_most": the smallest threshold with FAR ≤ target. Thresholds are scores of the set, or +inf if even the
        highest score would accept too many impostors. Equal scores are accepted or rejected together.
    rule "nearest": the possible FAR that is nearest to the target (of two equally near FARs the larger), and the
        largest TAR at that FAR. This FAR may exceed the target.
    rule "published", as in the scripts of published IJB numbers: "nearest", but only among the points that
        scikit-learn's `roc_curve` keeps with `drop_intermediate` (see `nearest_corner`). They may be far from the
        target if there are few impostors.

    With `identities_a`, `identities_b` (K,), each point carries a bootstrap interval by identity. O(K log K) time and
    about three arrays of K numbers. Raises DataError for unusable pairs, ConfigError for a FAR outside [0, 1].

    Examples:
        >>> import facemargin as fm
        >>> scores, same = [0.9, 0.8, 0.6, 0.7, 0.3, 0.1], [True, True, True, False, False, False]
        >>> (point,) = fm.evaluation.tar_at_far(scores, same, 0.34).points
        >>> point.tar, round(point.far, 3), point.threshold
        (1.0, 0.333, 0.6)
    """
    scores_K, same_K = check_pairs(scores, same, keep_float32=True)
    fars = _check_settings(fars, rule)

    def tars(weights_K: IntArray) -> list[float]:
        pairs = SortedPairs.of(scores_K, same_K, weights_K)
        return [_operating_point(pairs, far, rule).tar if pairs.is_complete else np.nan for far in fars]

    pairs = SortedPairs.of(scores_K, same_K)
    intervals = pair_intervals(tars, len(fars), same_K, identities_a, identities_b, bootstrap)
    return TarAtFar(
        tuple(_operating_point(pairs, far, rule, interval) for far, interval in zip(fars, intervals, strict=True)), rule
    )


def operating_points(pairs: SortedPairs, fars: Sequence[float], rule: FarRule = "at_most") -> TarAtFar:
    """As `tar_at_far`, for pairs that are sorted already."""
    return TarAtFar(tuple(_operating_point(pairs, far, rule) for far in _check_settings(fars, rule)), rule)


def _check_settings(fars: float | Sequence[float], rule: str) -> tuple[float, ...]:
    fars = as_rates("fars", fars)
    for far in fars:
        if not 0 <= far <= 1:
            raise ConfigError(f"FAR {far} is outside [0, 1]")
    if rule not in RULES:
        raise ConfigError(f"unknown rule {rule!r} for TAR at FAR; known: {', '.join(RULES)}")
    return fars


def _operating_point(
    pairs: SortedPairs, target_far: float, rule: FarRule, interval: Interval | None = None
) -> OperatingPoint:
    if rule == "published":
        threshold = nearest_corner(pairs, target_far)
    else:
        rejected = highest_rejected(pairs.impostor, target_far)
        if rule == "nearest":
            rejected = _nearest(pairs.impostor, rejected, target_far)
        threshold = pairs.lowest_above(rejected)
    accepted = int(pairs.impostor.at_or_above(threshold))
    return OperatingPoint(
        target_far=target_far,
        far=accepted / pairs.impostor.total,
        tar=int(pairs.genuine.at_or_above(threshold)) / pairs.genuine.total,
        threshold=threshold,
        impostors_accepted=accepted,
        impostors=pairs.impostor.total,
        genuine=pairs.genuine.total,
        interval=interval,
    )


def _nearest(impostor: SortedScores, rejected: float, target_far: float) -> float:
    """The highest rejected score of the nearer one of the two possible FARs just below and above the target."""
    target = target_far * impostor.total
    overshoot = impostor.at_or_above(rejected) - target
    undershoot = target - impostor.above(rejected)
    return impostor.highest_below(rejected) if overshoot <= undershoot else rejected
