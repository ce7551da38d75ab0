"""Which systems differ on a set of pairs, beyond what other people might have shown: the first one against each other
one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facemargin.counting import counted
from facemargin.evaluation.figures import DEFAULT_FARS
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, FEWEST_IDENTITIES, Bootstrap
from facemargin.evaluation.metrics.holm import holm
from facemargin.evaluation.metrics.paired_difference import PairedDifference, TarDifference, tar_differences
from facemargin.evaluation.metrics.shared_pairs import SharedPairs
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.scores import PairScores


@dataclass(frozen=True)
class SystemDifference:
    """TAR of system `first` − TAR of system `second` at a FAR. `adjusted_p` is the p-value by Holm's correction for all
    comparisons of the same `SystemDifferences`."""

    first: str
    second: str
    point: TarDifference
    adjusted_p: float


@dataclass(frozen=True)
class SystemDifferences:
    """The differences of all other systems from the first one, and `notes`: what they stand on, or why there are
    none. `people`: how many were resampled."""

    rows: tuple[SystemDifference, ...]
    notes: tuple[str, ...]
    people: int = 0


def system_differences(
    systems: Sequence[PairScores],
    fars: Sequence[float] = DEFAULT_FARS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> SystemDifferences:
    """The first of the systems against each other one, at every FAR at which the set can accept an impostor pair. A
    note says why there are none, as for systems that were not scored on the same pairs."""
    if len(systems) < 2:
        return SystemDifferences((), ())
    first, *others = systems
    for other in others:
        if not _same_pairs(first, other):
            return _none(
                f"{first.system} and {other.system} were scored on different pairs of {first.dataset}; evaluate them "
                "again on the same set"
            )
    a_K, b_K = first.identities_a_K, first.identities_b_K
    if a_K is None or b_K is None or any(other.identities_a_K is None for other in others):
        return _none(
            f"the pairs of {first.dataset} do not say which people they show. Pairs that share a person are not "
            "independent, so counting them as if they were would find differences where there are none"
        )
    people = len(np.unique(np.concatenate([a_K, b_K])))
    if people < FEWEST_IDENTITIES:
        return _none(f"the pairs are of {counted(people, 'person', 'people')}, too few to resample")
    impostors = int(np.count_nonzero(~first.same_K))
    told = [far for far in fars if allowed_count(far, impostors)]
    if not told:
        return _none(f"{counted(impostors, 'impostor pair')} are too few for every FAR")
    shared = SharedPairs(first.same_K, a_K, b_K, told, bootstrap)
    rates = [shared.system(system.scores_K) for system in systems]
    found = [tar_differences(shared, rates[0], other) for other in rates[1:]]
    rows = _rows(first.system, [other.system for other in others], found)
    return SystemDifferences(rows, tuple(_notes(first.system, found, bootstrap, len(fars) - len(told))), people)


def _rows(first: str, others: Sequence[str], found: Sequence[PairedDifference]) -> tuple[SystemDifference, ...]:
    points = [(other, point) for other, one in zip(others, found, strict=True) for point in one.points]
    adjusted = holm([point.p_value for _, point in points])
    return tuple(SystemDifference(first, other, point, p) for (other, point), p in zip(points, adjusted, strict=True))


def _notes(first: str, found: Sequence[PairedDifference], bootstrap: Bootstrap, fars_left_out: int) -> list[str]:
    points = [point for one in found for point in one.points]
    notes = [
        f"Differences are those of {first} from each other system, each at its own threshold, in percentage points of "
        f"TAR. {counted(found[0].people, 'person', 'people')} were resampled, the same for all systems; "
        f"ranges are {found[0].confidence:.0%} intervals.",
        f"p is the probability of such a difference between equal systems; Holm's p allows for the "
        f"{counted(len(points), 'comparison')} of this table, and below 0.05 a difference counts.",
        "Std. error: the spread among resamples and, in brackets, an estimate without its bias, or – if the people are "
        "too few for one. Ranges and p are freed of this bias where there is such an estimate.",
    ]
    if fars_left_out:
        notes.append(f"{counted(fars_left_out, 'FAR')} left out: there are too few impostor pairs to accept one.")
    unusable = bootstrap.resamples - min(point.resamples for point in points)
    if unusable:
        notes.append(
            f"{unusable:,} of {counted(bootstrap.resamples, 'resample')} left out: the people drawn had no pairs of "
            "both kinds."
        )
    return notes


def _none(reason: str) -> SystemDifferences:
    return SystemDifferences((), (f"There are no intervals of the differences between the systems: {reason}.",))


def _same_pairs(first: PairScores, other: PairScores) -> bool:
    """Whether the pairs are the same, as far as both systems say which people they show."""
    for name in ("same_K", "identities_a_K", "identities_b_K"):
        some, others = getattr(first, name), getattr(other, name)
        if some is not None and others is not None and not np.array_equal(some, others):
            return False
    return True
