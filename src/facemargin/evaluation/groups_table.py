"""The error rates and the quality of groups as tables for the terminal, and the words that reports share with them."""

from collections.abc import Sequence

from facemargin.counting import counted
from facemargin.evaluation.groups import ColumnGroups
from facemargin.evaluation.metrics.group_results import GroupRate, RateName, WorstGroup
from facemargin.evaluation.number_format import percent, small_limit, small_rate
from facemargin.tables import Table

HEADINGS = ("People", "FMR", "FMR at most", "FNMR", "FNMR at most", "Quality")
NONE = "–"
ALL = "all pairs"

_WIDEST_MATRIX = 8


def groups_tables(found: ColumnGroups) -> list[Table]:
    """The groups, a row each, and the FMR of every pair of groups."""
    table = Table(found.column, *HEADINGS, title=f"{found.dataset}, {found.system}: groups by {found.column}")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cells in group_rows(found):
        table.add_row(name, *("\n".join(text for text in cell if text) for cell in cells))
    table.caption = " ".join(group_notes(found))
    groups = found.rates.groups
    if len(groups) < 2 or len(groups) > _WIDEST_MATRIX:
        return [table]
    matrix = Table("FMR", *groups, title=f"{found.dataset}, {found.system}: FMR by pair of groups ({found.column})")
    for column in matrix.columns[1:]:
        column.justify = "right"
    for place, group in enumerate(groups):
        matrix.add_row(group, *(_matrix_text(found, group, other) for other in groups[: place + 1]))
    matrix.caption = "People of the row's group against those of the column's."
    return [table, matrix]


def _matrix_text(found: ColumnGroups, group: str, other: str) -> str:
    rate = found.rates.rate("FMR", group, other)
    return NONE if rate is None else f"{small_rate(rate.observed)}\n{below_rate(rate)}"


def below_rate(rate: GroupRate) -> str:
    """What stands below the rate of two groups."""
    return f"at most {small_limit(rate.certified)}{', too small to say' if rate.too_small else ''}"


def group_rows(found: ColumnGroups) -> list[tuple[str, list[tuple[str, str]]]]:
    """The name of each group, and then of all pairs, with the texts below `HEADINGS`: each a value, and what stands
    below it."""
    rates = found.rates
    rows = [
        (group, _cells(found, [rates.rate("FMR", group), rates.rate("FNMR", group)], group)) for group in rates.groups
    ]
    return [*rows, (ALL, _cells(found, rates.overall, ""))]


def _cells(found: ColumnGroups, both: Sequence[GroupRate | None], group: str) -> list[tuple[str, str]]:
    people = max((rate.people for rate in both if rate is not None), default=0)
    quality = found.quality.get(group)
    measured = (NONE, "")
    if quality is not None:
        low, middle, high = (f"{value:#.3g}" for value in quality.quantiles)
        measured = (middle, f"{low} to {high}")
    return [(f"{people:,}", ""), *(cell for rate in both for cell in _rate_cells(rate)), measured]


def _rate_cells(rate: GroupRate | None) -> list[tuple[str, str]]:
    if rate is None:
        return [(NONE, ""), (NONE, "")]
    spread = "" if rate.estimated is None else f"{small_rate(rate.estimated[0])} to {small_rate(rate.estimated[1])}"
    behind = f"{rate.errors:,} of {counted(rate.pairs, 'pair')}"
    small = f"too small to say: {rate.too_small}" if rate.too_small else ""
    return [
        (small_rate(rate.observed), "\n".join(filter(None, (spread, behind)))),
        (small_limit(rate.certified), small),
    ]


def group_notes(found: ColumnGroups) -> list[str]:
    """What the figures mean, what they stand on, and what is left out."""
    rates, notes = found.rates, []
    if rates.fmr is None:
        source = "which was given"
    else:
        source = (
            f"the lowest with an FMR of at most {percent(rates.fmr)} of all pairs, chosen on these pairs (every "
            f"pair of "
            "people counts alike)"
        )
    notes.append(f"One threshold for all groups: {rates.threshold:.4g}, {source}.")
    notes += [text for worst in rates.worst if (text := worst_text(worst))]
    bounds = len(rates.rates) + len(rates.overall)
    fixed = (
        ""
        if rates.fmr is None
        else " They take the threshold as fixed beforehand; on the pairs on which it was chosen they are a little "
        "too low."
    )
    notes.append(
        f"“At most” are certified bounds: all {bounds} of this table and its pairs of groups hold together with "
        f"{percent(rates.confidence)} confidence, whatever the people are like.{fixed} Ranges are estimated "
        f"{percent(rates.confidence)} intervals, each by itself. Everybody counts alike, however many pictures "
        f"there "
        "are of them."
    )
    if found.quality:
        notes.append("Quality: the median of the images, and the range of 80% of them.")
    if rates.without_group or found.images_without_group:
        notes.append(
            f"{found.images_without_group:,} of {counted(found.images, 'image')} have no group; the "
            f"{counted(rates.without_group, 'pair')} with one of them count among all pairs only."
        )
    return notes


def worst_text(worst: WorstGroup) -> str:
    """The ratios of NIST's reports, or why there are none; empty if the groups have no such pairs."""
    left_out = f" Left out as too small: {', '.join(worst.left_out)}." if worst.left_out else ""
    if len(worst.groups) < 2:
        return f"No ratio of {worst.name}s: fewer than two groups are large enough.{left_out}" if left_out else ""
    if worst.over_geometric_mean is None or worst.over_smallest is None:
        names = ", ".join(worst.without_error)
        has = "has" if len(worst.without_error) == 1 else "have"
        return f"No ratio of {worst.name}s: {names} {has} no error, so the smallest is not known.{left_out}"
    return (
        f"Largest {worst.name}: {worst.group}, {worst.over_geometric_mean:.3g} times the geometric mean of the "
        f"{len(worst.groups)} groups and {worst.over_smallest:.3g} times the smallest (Max/GeoMean "
        f"and Max/Min in NIST IR 8429).{left_out}"
    )


def matrix(found: ColumnGroups, name: RateName) -> list[list[GroupRate | None]]:
    """The rates of every pair of groups, symmetric."""
    groups = found.rates.groups
    return [[found.rates.rate(name, group, other) for other in groups] for group in groups]
