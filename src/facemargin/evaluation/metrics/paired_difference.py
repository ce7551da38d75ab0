"""Whether two systems differ: intervals and tests of the difference of their TARs at a FAR, with people as the unit.

The figure is D = TAR of one system − TAR of the other, each at its own threshold for the FAR. People are resampled with
replacement (see `bootstrap`), the same people for both systems, and both thresholds are chosen again each time. So what
is hard or easy about the people drawn, which both systems share, does not blur the difference.

p-value: as often as a resample has a difference on the other side of 0, doubled, where resamples without a difference
count half (H. O. Lancaster, "Significance tests in discrete distributions", JASA 1961): with the numbers
b = #(D* < 0) + #(D* = 0)/2 and a = #(D* > 0) + #(D* = 0)/2, p = (2·min(b, a) + 1) / (R + 1). It is about the smallest δ
for which the percentile interval at confidence 1 − δ excludes 0.

The variance among resamples is too large if pairs that share a person are nearly independent (`pair_variance`): then
intervals are too wide, and the test finds too few differences. `rescale` multiplies the resamples' distance from D by
√(unbiased variance / variance among resamples), as discussed by Conti and Clémençon (arXiv 2211.07245). Both variances
are those of the difference to first order, which is linear in the rates: the resamples' difference itself also varies
because its thresholds move, of which the unbiased variance knows nothing, so that their ratio would make intervals too
narrow. A difference of less than half a genuine pair is none, as before it was rescaled.

Shapes: K pairs, S people, R resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.bca import bca_tails
from facemargin.evaluation.metrics.bootstrap import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Interval,
    quantile_interval,
    two_tails,
)
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.metrics.shared_pairs import SharedPairs, SystemRates
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint
from facemargin.evaluation.metrics.weighted_tars import resampled_sum, unbiased_variance, variance_scale

IntervalKind = Literal["percentile", "bca"]
INTERVAL_KINDS = get_args(IntervalKind)

_ROUNDING = 1e-12
"""Differences of rates that are closer to 0 than this are 0."""


@dataclass(frozen=True)
class TarDifference:
    """The difference of two systems' TARs at a FAR, and what it stands on.

    Attributes:
        target_far: The FAR, for which each system has its own threshold.
        difference: TAR of the first system − TAR of the second.
        interval: Its bootstrap interval; None if it is the same in all resamples, which is no certainty, and for "bca"
            if all of them are on one side of it.
        p_value: The probability of a difference as far from 0 or farther if the systems were equal.
        first, second: The operating points.
        people: How many people are in the impostor pairs that the first and the second system accept.
        variance: The variance of the difference among resamples, before they are rescaled.
        unbiased_variance: The variance without the bias of resampling people; NaN with fewer than four people. With few
            people it may be negative.
        scale: By what the resamples' distance from the difference was multiplied; 1 if they were not rescaled.
        resamples: How many resamples had pairs of both kinds.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-10")
        >>> faces, people = fm.open_images("orl:11-14"), pairs.identities_N
        >>> systems = [fm.evaluation.fit_pixel_embed(faces, size=size)(pairs.images).vectors for size in (32, 4)]
        >>> scores = [fm.evaluation.pair_scores(vectors, pairs.first_K, pairs.second_K) for vectors in systems]
        >>> found = fm.evaluation.paired_difference(*scores, pairs.same_K, people[pairs.first_K],
        ...     people[pairs.second_K], fars=0.01, bootstrap=fm.evaluation.Bootstrap(resamples=200))
        >>> (point,) = found.points
        >>> round(point.difference, 3) == round(point.first.tar - point.second.tar, 3)
        True
        >>> point.first.impostors_accepted, point.people[0] <= 10
        (45, True)
    """

    target_far: float
    difference: float
    interval: Interval | None
    p_value: float
    first: OperatingPoint
    second: OperatingPoint
    people: tuple[int, int]
    variance: float
    unbiased_variance: float
    scale: float
    resamples: int


@dataclass(frozen=True)
class PairedDifference:
    """Differences in the order of the requested FARs, of `people` people, with intervals of this `confidence` and kind.
    `rescaled`: whether they are freed of the bias of the resamples' variance, at the FARs at which the unbiased one is
    positive.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> a, b = np.triu_indices(6, k=1)
        >>> people = np.arange(6) // 2
        >>> scores = np.where(people[a] == people[b], 0.9, 0.1)
        >>> fm.evaluation.paired_difference(scores, scores, people[a] == people[b], people[a], people[b], fars=0.1)
        PairedDifference(3 people; FAR 0.1: +0.0000, p 1)
    """

    points: tuple[TarDifference, ...]
    people: int
    confidence: float
    interval_kind: IntervalKind
    rescaled: bool

    def __repr__(self) -> str:
        points = [f"FAR {point.target_far:g}: {point.difference:+.4f}, p {point.p_value:.2g}" for point in self.points]
        return f"PairedDifference({'; '.join([counted(self.people, 'person', 'people'), *points])})"


def paired_difference(
    scores: ArrayLike,
    other_scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    fars: float | Sequence[float],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    interval: IntervalKind = "percentile",
    rescale: bool = True,
) -> PairedDifference:
    """The difference of the TARs of two systems at each FAR of `fars`, with interval and p-value.

    The K pairs of images or of templates are the same for both systems: `scores` and `other_scores` (K,), higher is
    more alike, `same` (K,) True for genuine, and the people of both sides, `identities_a` and `identities_b` (K,),
    names or numbers. Without the people there is no such interval: pairs that share a person are not independent.

    interval: "percentile", or "bca" (B. Efron, "Better bootstrap confidence intervals", JASA 1987), which corrects the
        bias and the skewness of the resamples, by leaving out each person once: it takes as long as S more resamples.
        If all resamples are on one side of the difference, there is none.
    rescale: Free the resamples of the bias of their variance, where the unbiased one is positive (see the start of this
        page).

    Thresholds are the lowest with FAR ≤ target, as of `tar_at_far`. 15.6 million pairs, six FARs and 1,000 resamples
    take seconds (docs/benchmarks.md). Memory beside the inputs: 4 bytes a pair for each system's sorted scores, 8 for
    the people, 16 while pairs of people are counted, 4 for each of at most S² or 2²⁵ pairs of people, 2·R·S bytes.

    Raises DataError for unusable pairs, for people who contradict `same` and for fewer than three people; ConfigError
    for a FAR outside [0, 1] and an unknown kind of interval.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> people = np.arange(60) // 2
        >>> a, b = np.triu_indices(60, k=1)
        >>> same = people[a] == people[b]
        >>> good, poor = (rng.normal(size=len(a)) + shift * same for shift in (3, 1))
        >>> found = fm.evaluation.paired_difference(good, poor, same, people[a], people[b], fars=[0.01, 0.1])
        >>> [bool(point.p_value < 0.05 and point.interval[0] > 0) for point in found.points]
        [True, True]
    """
    if interval not in INTERVAL_KINDS:
        raise ConfigError(f"interval is {interval!r}, expected one of {', '.join(INTERVAL_KINDS)}")
    shared = SharedPairs(same, identities_a, identities_b, fars, bootstrap, without_each=interval == "bca")
    systems = shared.system(scores), shared.system(other_scores, "other_scores")
    return tar_differences(shared, *systems, interval, rescale)


def tar_differences(
    shared: SharedPairs,
    first: SystemRates,
    second: SystemRates,
    interval: IntervalKind = "percentile",
    rescale: bool = True,
) -> PairedDifference:
    """TAR of the first system − TAR of the second, at each FAR. "bca" needs systems that were rated without each
    person."""
    points = tuple(_at(place, shared, first, second, interval, rescale) for place in range(len(shared.fars)))
    return PairedDifference(points, shared.pairs.people, shared.bootstrap.confidence, interval, rescale)


def _at(
    place: int, shared: SharedPairs, first: SystemRates, second: SystemRates, interval: IntervalKind, rescale: bool
) -> TarDifference:
    one, other = first.points[place], second.points[place]
    difference = float(_rounded(one.tar - other.tar))
    systems = ((1.0, first), (-1.0, second))
    drawn_R = _rounded(resampled_sum(place, systems))
    drawn_R = drawn_R[~np.isnan(drawn_R)]
    variance = float(np.var(drawn_R, ddof=1)) if len(drawn_R) > 1 else float("nan")
    unbiased = unbiased_variance(place, shared, systems)
    scale = variance_scale(place, systems, unbiased) if rescale else 1.0
    if scale != 1:
        drawn_R = difference + (drawn_R - difference) * scale
        drawn_R = np.where(np.abs(drawn_R) < 0.5 / one.genuine, 0.0, drawn_R)
    equal_tails = two_tails(shared.bootstrap.confidence)
    tails: tuple[float, float] | None = equal_tails
    if interval == "bca":
        assert first.without_one is not None and second.without_one is not None
        without_S = first.without_one.tar_RF[:, place] - second.without_one.tar_RF[:, place]
        tails = bca_tails(equal_tails, _rounded(drawn_R - difference), without_S)
    return TarDifference(
        target_far=shared.fars[place],
        difference=difference,
        interval=None if tails is None else quantile_interval(drawn_R, tails),
        p_value=_p_value(drawn_R),
        first=one,
        second=other,
        people=(_num_people(first.accepted[place]), _num_people(second.accepted[place])),
        variance=variance,
        unbiased_variance=unbiased,
        scale=scale,
        resamples=len(drawn_R),
    )


def _p_value(drawn_R: FloatArray) -> float:
    none = np.count_nonzero(drawn_R == 0) / 2
    fewer = min(np.count_nonzero(drawn_R < 0) + none, np.count_nonzero(drawn_R > 0) + none)
    return float(min(1.0, (2 * fewer + 1) / (len(drawn_R) + 1)))


def _rounded(values: FloatArray | float) -> FloatArray:
    return np.where(np.abs(values) < _ROUNDING, 0.0, values)


def _num_people(accepted: tuple[IntArray, IntArray]) -> int:
    return len(np.unique(np.concatenate(accepted)))
