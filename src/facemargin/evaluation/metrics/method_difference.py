"""Whether two methods differ, such as two losses: intervals of the difference of their mean TARs, for other people and
other seeds.

A system is one trained network; a method is what trains it, and another seed gives another network. `paired_difference`
of two networks says nothing of that. Here each method has S trainings on the same pairs, and the s-th of both has the
same seed, which fixes initial weights, the order of images and augmentation: what a seed makes easy or hard for both
methods does not blur their difference. With d_s the difference of the TARs of the s-th trainings,

    D = mean of d_s,   Var D = V + U,   U = max(0, variance of d_s / S − (mean of v_s − V) / (S − 1))

where V is the variance of D for other people, with the trainings as they are: people are resampled, the same for all
trainings, and the variance among resamples is freed of its bias as in `paired_difference`. U is what other seeds add.
The variance of d_s also holds what chance people add to single trainings, of which V has its share: that is taken off,
where v_s is the variance of d_s for other people. Interval and p are Student's, with Satterthwaite's degrees of freedom
for the two terms (F. E. Satterthwaite, "An approximate distribution of estimates of variance components", Biometrics
Bulletin 1946): the number of people less one for V, S − 1 for U.

Shapes: K pairs, S trainings, F FARs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval
from facemargin.evaluation.metrics.inputs import as_array
from facemargin.evaluation.metrics.shared_pairs import SharedPairs, SystemRates
from facemargin.evaluation.metrics.student import student_quantile, student_tail
from facemargin.evaluation.metrics.weighted_tars import Weighted, resampled_sum, unbiased_variance, variance_scale

FEWEST_TRAININGS = 2
"""Of one training nobody knows what another seed would give."""

_ROUNDING = 1e-16
"""A variance of TARs that is smaller than this is 0."""


@dataclass(frozen=True)
class MethodTarDifference:
    """The difference of two methods' mean TARs at a FAR, and what it stands on.

    Attributes:
        target_far: The FAR, for which each training has its own threshold.
        difference: Mean TAR of the first method − mean TAR of the second.
        interval: Its interval for other people and other seeds; None if nothing varied, which is no certainty.
        p_value: The probability of a difference as far from 0 or farther if the methods were equal; 1 if nothing
            varied.
        tars, other_tars: The TAR of each training of the first and the second method, in the order of their seeds.
        people_error: The standard error that other people make.
        seeds_error: The standard error that other seeds add to it.
        degrees_of_freedom: Of the interval and p; infinite if nothing varied.
        resamples: How many resamples of people had pairs of both kinds.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> people = np.arange(80) // 2
        >>> a, b = np.triu_indices(80, k=1)
        >>> same = people[a] == people[b]
        >>> good, poor = (rng.normal(size=(3, len(a))) + shift * same for shift in (4, 2))
        >>> found = fm.evaluation.method_difference(good, poor, same, people[a], people[b], fars=0.1)
        >>> (point,) = found.points
        >>> len(point.tars), point.interval[0] > 0, point.p_value < 0.05
        (3, True, True)
    """

    target_far: float
    difference: float
    interval: Interval | None
    p_value: float
    tars: tuple[float, ...]
    other_tars: tuple[float, ...]
    people_error: float
    seeds_error: float
    degrees_of_freedom: float
    resamples: int


@dataclass(frozen=True)
class MethodDifference:
    """Differences in the order of the requested FARs, of `people` people, with intervals of this `confidence`.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> people = np.arange(8) // 2
        >>> a, b = np.triu_indices(8, k=1)
        >>> same = people[a] == people[b]
        >>> scores = np.stack([np.where(same, 0.9, low) for low in (0.1, 0.2)])
        >>> fm.evaluation.method_difference(scores, scores, same, people[a], people[b], fars=0.1)
        MethodDifference(4 people; 2 trainings each; FAR 0.1: +0.0000, p 1)
    """

    points: tuple[MethodTarDifference, ...]
    people: int
    confidence: float

    def __repr__(self) -> str:
        points = [f"FAR {point.target_far:g}: {point.difference:+.4f}, p {point.p_value:.2g}" for point in self.points]
        trainings = f"{len(self.points[0].tars)} trainings each" if self.points else ""
        said = [counted(self.people, "person", "people"), trainings, *points]
        return f"MethodDifference({'; '.join(text for text in said if text)})"


def method_difference(
    scores: ArrayLike,
    other_scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    fars: float | Sequence[float],
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> MethodDifference:
    """The difference of the mean TARs of two methods at each FAR of `fars`, for other people and other seeds.

    `scores` and `other_scores` (S, K): the scores of each method's trainings, at least two, on the same K pairs, higher
    is more alike. The rows are in the order of the seeds; if both methods have no seeds in common, the intervals hold
    as well, but are wider. `same` (K,): True for genuine; the people of both sides, `identities_a` and `identities_b`
    (K,), names or numbers. The page's beginning says what the intervals are made of.

    Of several comparisons some fall below p = .05 by chance: `holm` corrects for their number.

    Raises DataError for unusable pairs, for fewer than two trainings, for one that is given twice, for another number
    of one method than of the other, for people who contradict `same` and for fewer than three people; ConfigError for
    a FAR outside [0, 1].

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> people = np.arange(60) // 2
        >>> a, b = np.triu_indices(60, k=1)
        >>> same = people[a] == people[b]
        >>> ours, theirs = (rng.normal(size=(4, len(a))) + 3 * same for _ in range(2))
        >>> found = fm.evaluation.method_difference(ours, theirs, same, people[a], people[b], fars=[0.01, 0.1])
        >>> [point.interval[0] < 0 < point.interval[1] for point in found.points]
        [True, True]
    """
    shared = SharedPairs(same, identities_a, identities_b, fars, bootstrap)
    first, second = _trainings(shared, scores, "scores"), _trainings(shared, other_scores, "other_scores")
    if len(first) != len(second):
        raise DataError(
            f"there are {len(first)} trainings of one method and {len(second)} of the other, expected one of each for "
            "every seed"
        )
    return method_tar_differences(shared, first, second)


def method_tar_differences(
    shared: SharedPairs, first: Sequence[SystemRates], second: Sequence[SystemRates]
) -> MethodDifference:
    """Mean TAR of the trainings of the first method − that of the second, at each FAR; as many of each, at least two,
    in the order of their seeds."""
    points = tuple(_at(place, shared, first, second) for place in range(len(shared.fars)))
    return MethodDifference(points, shared.pairs.people, shared.bootstrap.confidence)


def _trainings(shared: SharedPairs, scores: ArrayLike, name: str) -> list[SystemRates]:
    array = as_array(name, scores)
    if array.ndim != 2 or len(array) < FEWEST_TRAININGS:
        raise DataError(
            f"{name} has the shape {array.shape}, expected (trainings, pairs) with at least {FEWEST_TRAININGS} "
            "trainings: of one nobody knows what another seed would give"
        )
    for row, other in combinations(range(len(array)), 2):
        if np.array_equal(array[row], array[other]):
            raise DataError(f"{name}[{row}] and {name}[{other}] are the same scores: each training counts once")
    return [shared.system(row_K, f"{name}[{row}]") for row, row_K in enumerate(array)]


def _at(
    place: int, shared: SharedPairs, first: Sequence[SystemRates], second: Sequence[SystemRates]
) -> MethodTarDifference:
    tars, other_tars = (tuple(system.points[place].tar for system in method) for method in (first, second))
    number = len(tars)
    seeds: list[Weighted] = [((1, one), (-1, other)) for one, other in zip(first, second, strict=True)]
    systems: Weighted = [(weight / number, system) for seed in seeds for weight, system in seed]
    drawn_R = resampled_sum(place, systems)
    known_R = ~np.isnan(drawn_R)
    resamples = int(known_R.sum())
    of_people = of_seeds = float("nan")
    if resamples > 1:
        squared_scale = variance_scale(place, systems, unbiased_variance(place, shared, systems)) ** 2
        of_people = float(np.var(drawn_R[known_R], ddof=1)) * squared_scale
        single = [float(np.var(resampled_sum(place, seed)[known_R], ddof=1)) * squared_scale for seed in seeds]
        spread = float(np.var(np.subtract(tars, other_tars), ddof=1)) / number
        of_seeds = spread - (float(np.mean(single)) - of_people) / (number - 1)
        of_people, of_seeds = (variance if variance > _ROUNDING else 0.0 for variance in (of_people, of_seeds))
    difference = float(np.mean(tars) - np.mean(other_tars))
    freedom = _satterthwaite((of_people, of_seeds), (shared.pairs.people - 1, number - 1))
    error = math.sqrt(of_people + of_seeds)
    interval, p_value = None, 1.0
    if error > 0:
        half = student_quantile((1 - shared.bootstrap.confidence) / 2, freedom) * error
        interval = (difference - half, difference + half)
        p_value = 2 * student_tail(abs(difference) / error, freedom)
    return MethodTarDifference(
        target_far=shared.fars[place],
        difference=difference,
        interval=interval,
        p_value=p_value,
        tars=tars,
        other_tars=other_tars,
        people_error=math.sqrt(of_people),
        seeds_error=math.sqrt(of_seeds),
        degrees_of_freedom=freedom,
        resamples=resamples,
    )


def _satterthwaite(variances: Sequence[float], freedoms: Sequence[int]) -> float:
    """Degrees of freedom of a sum of independent estimates of variance."""
    weighted = sum(variance**2 / freedom for variance, freedom in zip(variances, freedoms, strict=True))
    return sum(variances) ** 2 / weighted if weighted > 0 else math.inf
