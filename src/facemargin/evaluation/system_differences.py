"""Which systems differ on a set of pairs, beyond what other people might have shown: the first one against each other
one."""

from collections.abc import Sequence
from dataclasses import dataclass

from facemargin.counting import counted
from facemargin.evaluation.comparable_pairs import comparable_pairs
from facemargin.evaluation.figures import DEFAULT_FARS
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from facemargin.evaluation.metrics.holm import holm
from facemargin.evaluation.metrics.paired_difference import PairedDifference, TarDifference, tar_differences
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
    shared = comparable_pairs(systems, fars, bootstrap)
    if isinstance(shared, str):
        return SystemDifferences((), (f"There are no intervals of the differences between the systems: {shared}.",))
    rates = [shared.system(system.scores_K) for system in systems]
    found = [tar_differences(shared, rates[0], other) for other in rates[1:]]
    rows = _rows(first.system, [other.system for other in others], found)
    left_out = len(fars) - len(shared.fars)
    return SystemDifferences(rows, tuple(_notes(first.system, found, bootstrap, left_out)), shared.pairs.people)


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
