"""What `group_rates` finds of groups and of pairs of groups."""

from dataclasses import dataclass
from typing import Literal, get_args

from facemargin.counting import counted
from facemargin.evaluation.metrics.bootstrap import Interval

RateName = Literal["FMR", "FNMR"]
RATE_NAMES = get_args(RateName)


@dataclass(frozen=True)
class GroupRate:
    """The FMR or FNMR of the image pairs whose images are in `groups`, in either order; two equal names for pairs
    within a group, none for all pairs.

    observed: the rate. certified: what the true rate exceeds in at most 1 − confidence of all samples, for all rates of
    the `GroupRates` together, if the threshold was fixed beforehand. estimated: where it probably is, each by itself;
    None without an error. errors, pairs: image pairs; people_in_error, people: theirs. units: the independent terms
    among them. too_small: why so few people or pairs say nothing; empty if they are enough.

    Examples:
        >>> import facemargin as fm
        >>> people = [(a, b) for b in range(40) for a in range(b + 1)]
        >>> a, b = map(list, zip(*people))
        >>> scores = [0.9 if one == other else ((7 * one + 3 * other) % 100) / 100 for one, other in people]
        >>> found = fm.evaluation.group_rates(scores, [one == other for one, other in people], a, b,
        ...     [one % 2 for one in a], [other % 2 for other in b], fmr=0.1)
        >>> rate = found.rate("FMR", "0")
        >>> rate.people, rate.units, rate.certified > rate.observed, rate.too_small
        (20, 10, True, '')
    """

    name: RateName
    groups: tuple[str, ...]
    observed: float
    certified: float
    estimated: Interval | None
    errors: int
    pairs: int
    people: int
    people_in_error: int
    units: int
    too_small: str


@dataclass(frozen=True)
class WorstGroup:
    """The group with the largest rate, its ratio to the geometric mean of all `groups` and to the smallest rate. None
    if a group has no error (`without_error`), or there are fewer than two groups. `left_out`: groups that are too
    small.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.WorstGroup("FMR", "a", 2.0, 4.0, ("a", "b"), (), ()).over_geometric_mean
        2.0
    """

    name: RateName
    group: str | None
    over_geometric_mean: float | None
    over_smallest: float | None
    groups: tuple[str, ...]
    without_error: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class GroupRates:
    """Rates at `threshold` (scores at or above it are accepted): of all pairs, and of all groups and pairs of groups
    that have image pairs. All `certified` bounds hold together with `confidence`, each alone with `confidence_of_each`.

    fmr: the FMR of all pairs for which the threshold was chosen on them; None if the threshold was given.
    without_group: image pairs of which an image has no group, which count in `overall` only.

    Examples:
        >>> import facemargin as fm
        >>> people = [(a, b) for b in range(40) for a in range(b + 1)]
        >>> a, b = map(list, zip(*people))
        >>> scores = [0.9 if one == other else ((7 * one + 3 * other) % 100) / 100 for one, other in people]
        >>> fm.evaluation.group_rates(scores, [one == other for one, other in people], a, b,
        ...     [one % 2 for one in a], [other % 2 for other in b], threshold=0.95)
        GroupRates(2 groups at threshold 0.95: FMR 0: 0.047, 1: 0.037; FNMR 0: 1, 1: 1)
    """

    threshold: float
    fmr: float | None
    confidence: float
    confidence_of_each: float
    groups: tuple[str, ...]
    overall: tuple[GroupRate, ...]
    rates: tuple[GroupRate, ...]
    worst: tuple[WorstGroup, ...]
    without_group: int

    def rate(self, name: RateName, group: str, other: str | None = None) -> GroupRate | None:
        """The rate within a group, or of the pairs of two groups; None if there are no such pairs."""
        wanted = {group, group if other is None else other}
        return next((rate for rate in self.rates if rate.name == name and set(rate.groups) == wanted), None)

    def __repr__(self) -> str:
        within = [
            f"{name} "
            + ", ".join(f"{group}: {rate.observed:.2g}" for group in self.groups if (rate := self.rate(name, group)))
            for name in RATE_NAMES
        ]
        return (
            f"GroupRates({counted(len(self.groups), 'group')} at threshold {self.threshold:.4g}: {'; '.join(within)})"
        )
