"""The part of a report about groups: their error rates and quality, and the rates of pairs of groups."""

from collections.abc import Iterable, Iterator, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from facemargin.evaluation.groups import ColumnGroups, ImageGroups, groups_of
from facemargin.evaluation.groups_table import (
    HEADINGS,
    NONE,
    below_rate,
    group_notes,
    group_rows,
    matrix,
)
from facemargin.evaluation.metrics.group_results import RATE_NAMES, GroupRate, RateName
from facemargin.evaluation.number_format import percent, small_rate
from facemargin.evaluation.scores import PairScores
from facemargin.report.blocks import Block, Cell, FigureBlock, Heading, Notes, Table, TableBlock
from facemargin.report.style import MUTED, STYLE, new_axes
from facemargin.report.wording import short

# Numbers on the colours of the squares, which stay the same on a dark page; no colours of the style, which do not.
_ON_LIGHT, _ON_DARK = "#1f1f1f", "#fefefe"
_STRONGEST = 0.55
_RATE_COLUMNS: dict[int, RateName] = {1: "FMR", 3: "FNMR"}
_LARGEST_WITH_TEXT = 8
_LABEL = 14
_LONG = {"FMR": "false match rate", "FNMR": "false non-match rate"}


def groups_blocks(systems: Sequence[PairScores], groups: ImageGroups, number: int) -> list[Block]:
    """The groups of data set `number` of a report by each system, column by column. Raises DataError for scores of
    other pairs."""
    found = [groups_of(system, groups) for system in systems]
    return [
        block
        for column in range(len(groups.columns))
        for place, of_system in enumerate(found)
        for block in _blocks(
            of_system[column], f"evaluation-{number}-groups-{column + 1}-{place + 1}", len(systems) > 1
        )
    ]


def _blocks(found: ColumnGroups, name: str, several: bool) -> Iterator[Block]:
    yield Heading(f"Groups by {found.column}{f', {found.system}' if several else ''}")
    yield TableBlock(name, f"Error rates and quality by {found.column} on {found.dataset}", _table(found), found.column)
    yield Notes(group_notes(found))
    for kind in RATE_NAMES:
        rates = matrix(found, kind)
        if any(rate is not None for row, cells in enumerate(rates) for rate in cells[:row]):
            caption = f"{kind} of every two groups, and what it is at most"
            yield TableBlock(f"{name}-{kind.lower()}-pairs", caption, _pairs_table(rates, found), found.column)
            yield FigureBlock(
                f"{name}-{kind.lower()}",
                f"{kind} by pair of groups",
                _matrix_figure(rates, found.rates.groups, kind),
                _figure_caption(found, kind),
            )


def _table(found: ColumnGroups) -> Table:
    """The rates as texts, on a tint that grows with the rate; that of a group that is too small has none."""
    rows = [(name, [Cell(value, below) for value, below in cells]) for name, cells in group_rows(found)]
    for place, kind in _RATE_COLUMNS.items():
        rates = [found.rates.rate(kind, group) for group in found.rates.groups]
        highest = _highest(rates)
        for (_, cells), rate in zip(rows, [*rates, found.rates.overall[kind == "FNMR"]], strict=True):
            if rate is not None:
                heat = 0.0 if len(rate.groups) == 0 else _heat(rate, highest)
                below = (cells[place].interval, cells[place + 1].interval)
                cells[place] = Cell(cells[place].value, below[0], number=rate.observed, span=rate.estimated, heat=heat)
                cells[place + 1] = Cell(cells[place + 1].value, below[1], number=rate.certified)
    return Table(list(HEADINGS), rows)


def _pairs_table(rates: list[list[GroupRate | None]], found: ColumnGroups) -> Table:
    highest = _highest(rate for row in rates for rate in row)
    rows = []
    for place, (group, row) in enumerate(zip(found.rates.groups, rates, strict=True)):
        cells = [
            Cell(NONE)
            if rate is None
            else Cell(small_rate(rate.observed), below_rate(rate), number=rate.observed, heat=_heat(rate, highest))
            for rate in row[: place + 1]
        ]
        rows.append((group, cells + [Cell("")] * (len(rates) - len(cells))))  # the pairs of two groups stand once
    return Table(list(found.rates.groups), rows)


def _highest(rates: Iterable[GroupRate | None]) -> float:
    """The highest rate of those that are not too small; 0 if there are fewer than two."""
    told = [rate.observed for rate in rates if rate is not None and not rate.too_small]
    return max(told) if len(told) > 1 else 0.0


def _heat(rate: GroupRate, highest: float) -> float:
    return 0.0 if rate.too_small or not highest else _STRONGEST * rate.observed / highest


def _figure_caption(found: ColumnGroups, kind: RateName) -> str:
    return (
        f"The {_LONG[kind]} of {found.system} on the {'impostor' if kind == 'FMR' else 'genuine'} pairs of every two "
        f"groups "
        f"({found.column}) at the one threshold {found.rates.threshold:.4g}; of all such pairs it is "
        f"{small_rate(found.rates.overall[kind == 'FNMR'].observed)}. The darker, the more errors. Grey numbers stand "
        f"on too "
        "few people or pairs to say anything, empty squares on none."
    )


@mpl.rc_context(STYLE)
def _matrix_figure(rates: list[list[GroupRate | None]], groups: Sequence[str], kind: str) -> Figure:
    size = len(groups)
    figure, axes = new_axes(height=min(4.2, 1.2 + 0.45 * size))
    told = [[None if rate is None or rate.too_small else rate.observed for rate in row] for row in rates]
    values = np.array(told, dtype=float)  # None becomes NaN
    values[np.triu_indices(size, 1)] = np.nan  # the pairs of two groups stand once
    positive = values[values > 0]
    low, high = (positive.min(), positive.max()) if len(positive) else (0.001, 0.01)
    norm = LogNorm(low / 2, max(high, 2 * low) * 1.5)
    shown = np.ma.masked_invalid(np.where(values == 0, low / 2, values))
    mesh = axes.pcolormesh(shown, cmap="Oranges", norm=norm, edgecolors="white", linewidth=1.5)
    places = np.arange(size) + 0.5
    labels = [short(group, _LABEL) for group in groups]
    axes.set_xticks(places, labels=labels, rotation=0 if sum(map(len, labels)) < 36 else 90)
    axes.set_yticks(places, labels=labels)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if size <= _LARGEST_WITH_TEXT:
        _write_rates(axes, rates, norm)
    else:
        bar = figure.colorbar(mesh, ax=axes, format=lambda rate, _: percent(float(f"{rate:.1g}")))
        bar.set_label(kind)
        bar.outline.set_visible(False)
    return figure


def _write_rates(axes: Axes, rates: list[list[GroupRate | None]], norm: LogNorm) -> None:
    for row, cells in enumerate(rates):
        for column, rate in enumerate(cells[: row + 1]):
            if rate is not None:
                dark = rate.observed > 0 and norm(rate.observed) > 0.6
                color = MUTED if rate.too_small else _ON_DARK if dark else _ON_LIGHT
                axes.text(
                    column + 0.5, row + 0.5, small_rate(rate.observed), ha="center", va="center", color=color, size=8.5
                )
