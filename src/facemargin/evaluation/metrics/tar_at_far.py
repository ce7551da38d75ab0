"""True accept rate at a false accept rate. Shapes: K pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, pair_intervals
from facemargin.evaluation.metrics.pairs import IntArray, check_pairs
from facemargin.evaluation.metrics.sorted_scores import SortedPairs, SortedScores, highest_rejected

FarRule = Literal["at_most", "nearest"]


@dataclass(frozen=True)
class OperatingPoint:
    """One threshold (accept at or above it) and what it does.

    `tar` stands on `genuine` pairs and `far` on `impostors_accepted` of `impostors`: a FAR that rests on a handful of
    accepted impostors is not known to a digit. `interval` is that of `tar`, the threshold re-placed in each resample.
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
    """Operating points in the order of the FARs asked for, and the rule that placed their thresholds."""

    points: tuple[OperatingPoint, ...]
    rule: FarRule

    @property
    def tar(self) -> dict[float, float]:
        """{target FAR: TAR}"""
        return {point.target_far: point.tar for point in self.points}


def tar_at_far(
    scores: ArrayLike,
    same: ArrayLike,
    fars: Sequence[float],
    rule: FarRule = "at_most",
    identities_a: ArrayLike | None = None,
    identities_b: ArrayLike | None = None,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> TarAtFar:
    """TAR at each FAR of `fars` for K pairs: `scores` (K,), higher is more alike, `same` (K,) True for genuine.

    rule "at_most": the smallest threshold with FAR ≤ target. Thresholds are scores of the set, or +inf where even the
        highest score would accept too many impostors; equal scores are accepted or rejected together.
    rule "nearest", as published IJB numbers are made: the attainable FAR nearest to the target, the larger of two
        equally near, and the largest TAR at that FAR. It may exceed the target.

    With `identities_a`, `identities_b` (K,), each point carries a bootstrap interval by identity. O(K log K) time and
    about three arrays of K numbers. Raises DataError for unusable pairs, ConfigError for a FAR outside [0, 1].
    """
    scores_K, same_K = check_pairs(scores, same, keep_float32=True)
    _check_settings(fars, rule)

    def tars(weights_K: IntArray) -> list[float]:
        pairs = SortedPairs.of(scores_K, same_K, weights_K)
        return [_operating_point(pairs, far, rule).tar if pairs.is_complete else np.nan for far in fars]

    pairs = SortedPairs.of(scores_K, same_K)
    intervals = pair_intervals(tars, len(fars), same_K, identities_a, identities_b, bootstrap)
    return TarAtFar(
        tuple(_operating_point(pairs, far, rule, interval) for far, interval in zip(fars, intervals, strict=True)), rule
    )


def operating_points(pairs: SortedPairs, fars: Sequence[float], rule: FarRule = "at_most") -> TarAtFar:
    """`tar_at_far` of pairs that are sorted already."""
    _check_settings(fars, rule)
    return TarAtFar(tuple(_operating_point(pairs, far, rule) for far in fars), rule)


def _check_settings(fars: Sequence[float], rule: str) -> None:
    for far in fars:
        if not 0 <= far <= 1:
            raise ConfigError(f"FAR {far} is outside [0, 1]")
    if rule not in ("at_most", "nearest"):
        raise ConfigError(f"unknown rule {rule!r} for TAR at FAR; known: at_most, nearest")


def _operating_point(
    pairs: SortedPairs, target_far: float, rule: FarRule, interval: Interval | None = None
) -> OperatingPoint:
    rejected = highest_rejected(pairs.impostor, target_far)
    if rule == "nearest":
        rejected = _nearest(pairs.impostor, rejected, target_far)
    accepted = int(pairs.impostor.above(rejected))
    return OperatingPoint(
        target_far=target_far,
        far=accepted / pairs.impostor.total,
        tar=int(pairs.genuine.above(rejected)) / pairs.genuine.total,
        threshold=pairs.lowest_above(rejected),
        impostors_accepted=accepted,
        impostors=pairs.impostor.total,
        genuine=pairs.genuine.total,
        interval=interval,
    )


def _nearest(impostor: SortedScores, rejected: float, target_far: float) -> float:
    """Of the attainable FARs just below and above the target, the nearer one's highest rejected score."""
    target = target_far * impostor.total
    overshoot = impostor.at_or_above(rejected) - target
    undershoot = target - impostor.above(rejected)
    return impostor.highest_below(rejected) if overshoot <= undershoot else rejected
