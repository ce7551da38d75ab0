"""The part of a report about one protocol: the figures of the run and, for comparison, of papers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from facemargin.evaluation.number_format import NOT_AVAILABLE, rate_text
from facemargin.report.blocks import Cell, FigureBlock, Table
from facemargin.report.figure_data import data_label
from facemargin.report.protocol_scores import Curve, ProtocolScores
from facemargin.report.published import SOURCE, published
from facemargin.report.style import STYLE, LineStyle, legend_above, new_axes, percent_ticks
from facemargin.report.wording import as_sentence, percent


@dataclass(frozen=True)
class ProtocolSection:
    """The section of one protocol; its tables have captions."""

    protocol: str
    tables: list[tuple[str, Table]]
    notes: list[str]
    figures: list[FigureBlock]


def protocol_section(
    systems: Sequence[ProtocolScores], number: int, styles: Mapping[str, LineStyle]
) -> ProtocolSection:
    """The section with the figures of the systems. Published figures follow in rows below, with the names of their
    methods."""
    protocol = systems[0].protocol
    papers = published(protocol)
    rows = [(system.system, {name: value for name, value, _ in system.figures}) for system in systems]
    rows += [(f"{paper.system} (published)", {name: v / 100 for name, v in paper.figures.items()}) for paper in papers]
    headings = list(dict.fromkeys(name for system in systems for name, _, _ in system.figures))
    of_pairs = [name for name in headings if "TAR at FAR" in name]
    tables = [
        (f"{kind} by protocol {protocol}", _table(names, rows))
        for kind, names in (
            ("Verification", of_pairs),
            ("Identification", [name for name in headings if name not in of_pairs]),
        )
        if names
    ]
    notes = [system.settings for system in systems]
    for behind in dict.fromkeys(behind for _, _, behind in systems[0].figures if behind):
        notes.append(f"{', '.join(name for name, _, other in systems[0].figures if other == behind)}: {behind}.")
    notes += dict.fromkeys(as_sentence(note) for system in systems for note in system.notes)
    if papers:
        notes.append(
            f"Published figures are those of IR-101 networks in {SOURCE}. They use the nearest FAR (--rule "
            "published) and AdaFace's pooling. For another network they show what is possible; a lower figure "
            "does not mean that something is wrong."
        )
    return ProtocolSection(protocol, tables, notes, list(_curves(systems, number, styles)))


def _table(names: Sequence[str], rows: Sequence[tuple[str, Mapping[str, float]]]) -> Table:
    """The rows that have any of the figures `names`."""
    shown = [(system, values) for system, values in rows if values.keys() & set(names)]
    # the browser must not break "1e-6"
    headings = [name.replace("e-", "e\N{NON-BREAKING HYPHEN}") for name in names]
    return Table(
        headings, [(system, [_cell(values.get(name, math.nan)) for name in names]) for system, values in shown]
    )


def _cell(value: float) -> Cell:
    return Cell(NOT_AVAILABLE) if math.isnan(value) else Cell(rate_text(value), number=value)


def _curves(systems: Sequence[ProtocolScores], number: int, styles: Mapping[str, LineStyle]) -> list[FigureBlock]:
    names = dict.fromkeys(curve.name for system in systems for curve in system.curves)
    return [
        FigureBlock(
            f"protocol-{number}-roc-{place}",
            f"ROC, {name}",
            _roc(
                [(system.system, curve) for system in systems for curve in system.curves if curve.name == name], styles
            ),
            "The share of genuine pairs accepted (TAR) at each share of impostor pairs wrongly accepted (FAR, "
            "log axis), from the smallest that the pairs can measure. Higher is better.",
        )
        for place, name in enumerate(names)
    ]


@mpl.rc_context(STYLE)
def _roc(curves: Sequence[tuple[str, Curve]], styles: Mapping[str, LineStyle]) -> Figure:
    figure, axes = new_axes()
    low = min(0.1, *(1 / curve.impostors for _, curve in curves))
    for system, curve in curves:
        points = [(far, tar) for far, tar in zip(curve.far_T, curve.tar_T, strict=True) if far >= low]
        style = styles[system]
        x_and_y = zip(*points, strict=True)
        axes.plot(*x_and_y, color=style.color, linestyle=style.linestyle, label=data_label(system))
    axes.set_xscale("log")
    decades = [10.0**-power for power in range(int(-math.log10(low) + 1e-9) + 1)]
    axes.set_xticks(decades, labels=[percent(far) for far in decades])
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, 1)
    axes.set_ylim(-0.02, 1.02)
    percent_ticks(axes.yaxis)
    axes.set_xlabel("false accept rate (FAR)")
    axes.set_ylabel("true accept rate (TAR)")
    handles = [Line2D([], [], color=styles[system].color, linestyle=styles[system].linestyle) for system, _ in curves]
    legend_above(figure, handles, [system for system, _ in curves])
    return figure
