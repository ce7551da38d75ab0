"""The style of all figures of a report: colours that colour-blind readers can distinguish, sizes, number formats."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from facemargin.report.wording import percent, short

INK = "#2b2b2b"
MUTED = "#767676"
SHADE = "#ececec"
GRID = "#e2e2e2"

# Okabe and Ito's colours (jfly.uni-koeln.de/color), without the yellow, which is hardly visible on white
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LINES = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), (0, (6, 2)), ":")

FIGURE_WIDTH = 4.4
"""In inches. Figures are narrow, so that their text stays readable on a phone."""

_LETTER_WIDTH = 0.08
_LEGEND_HANDLE_WIDTH = 0.45
_LEGEND_ROW_HEIGHT = 0.2

STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
    # text as outlines looks the same on every machine, independent of its fonts
    "svg.fonttype": "path",
    # names come from users, so a dollar sign must not start a formula
    "text.parse_math": False,
}


@dataclass(frozen=True)
class LineStyle:
    """The colour and the dashes that one system has in every figure."""

    color: str
    linestyle: Any


def line_styles(names: Iterable[str]) -> dict[str, LineStyle]:
    """A style for each distinct name, in order; the dashes differ as well, for print and if there are more names than
    colours."""
    return {
        name: LineStyle(COLORS[i % len(COLORS)], _LINES[(i + i // len(COLORS)) % len(_LINES)])
        for i, name in enumerate(dict.fromkeys(names))
    }


def new_axes(height: float = 2.9) -> tuple[Figure, Axes]:
    """A figure of the report's width, `height` inches high before it gets a legend, with one pair of axes."""
    figure = Figure(figsize=(FIGURE_WIDTH, height))
    return figure, figure.subplots()


def legend_above(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Put the legend above the axes, where it covers no curve, in as many columns as fit. The figure becomes higher by
    its height."""
    texts = [_legend_text(label) for label in labels]
    inches = _LEGEND_HANDLE_WIDTH + _LETTER_WIDTH * max(len(text) for text in texts)
    columns = min(3, len(texts), max(1, int(FIGURE_WIDTH / inches)))
    rows = -(-len(texts) // columns)
    figure.set_figheight(figure.get_figheight() + _LEGEND_ROW_HEIGHT * rows)
    figure.legend(handles, texts, loc="outside upper left", ncols=columns)


def percent_ticks(axis: Axis) -> None:
    """Label the ticks of `axis`, whose values are fractions, in percent."""
    axis.set_major_formatter(lambda fraction, _: percent(fraction))


def _legend_text(label: str) -> str:
    # matplotlib hides labels that start with an underscore
    return " " + short(label) if label.startswith("_") else short(label)
