"""The figure of a comparison of heads: one panel per metric, one row per head, one point per seed, for clean and
degraded faces."""

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from facemargin.comparison.result import ComparedSet, HeadComparison
from facemargin.evaluation.figures import Metric
from facemargin.report.style import INK, SHADE, STYLE, LineStyle, line_styles, percent_ticks
from facemargin.report.wording import short

_PANELS_A_ROW = 3
_WIDTH = 9.5
_HEAD_HEIGHT = 0.27
_AROUND_PANEL = 0.7
_HEAD_LETTERS = 24
# Clean faces are drawn above the middle of the head's row, degraded ones below it.
_OFFSETS = {"clean": -0.17, "degraded": 0.17}


@mpl.rc_context(STYLE)
def comparison_figure(comparison: HeadComparison) -> Figure:
    """Draw every seed as a faint point and the mean of a head's seeds as a bar. There is one block of panels per test
    set."""
    styles = line_styles(_OFFSETS)
    rows = [-(-len(_metrics(comparison, test_set)) // _PANELS_A_ROW) for test_set in comparison.sets]
    heights = [count * (_AROUND_PANEL + _HEAD_HEIGHT * len(comparison.heads)) + 0.6 for count in rows]
    figure = Figure(figsize=(_WIDTH, sum(heights)))
    blocks = figure.subfigures(len(comparison.sets), 1, squeeze=False, height_ratios=heights)[:, 0]
    for block, test_set, count in zip(blocks, comparison.sets, rows, strict=True):
        _draw_set(block, comparison, test_set, count, styles)
    return figure


def _draw_set(
    block: SubFigure, comparison: HeadComparison, test_set: ComparedSet, rows: int, styles: dict[str, LineStyle]
) -> None:
    metrics = _metrics(comparison, test_set)
    panels = block.subplots(rows, _PANELS_A_ROW, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _draw_metric(panel, comparison, test_set, metric, styles)
    for panel in panels[len(metrics) :]:
        panel.remove()
    handles = [Line2D([], [], color=style.color, marker="|", ms=9, mew=2.2, lw=0) for style in styles.values()]
    block.legend(handles, [f"{name} faces" for name in styles], loc="outside upper right", ncols=2, handletextpad=0.2)
    block.suptitle(short(test_set.clean), x=0.01, ha="left", fontsize=11, fontweight="bold")


def _draw_metric(
    panel: Axes, comparison: HeadComparison, test_set: ComparedSet, metric: Metric, styles: dict[str, LineStyle]
) -> None:
    for condition, dataset in (("clean", test_set.clean), ("degraded", test_set.degraded)):
        color = styles[condition].color
        for place, head in enumerate(comparison.heads):
            values = np.array(comparison.values(dataset, metric, head))
            values = values[np.isfinite(values)]
            if len(values):
                row = place + _OFFSETS[condition]
                panel.plot(values, np.full(len(values), row), "o", color=color, ms=4.5, mew=0, alpha=0.45)
                panel.plot(values.mean(), row, "|", color=color, ms=9, mew=2.2)
    for place in range(0, len(comparison.heads), 2):
        panel.axhspan(place - 0.5, place + 0.5, color=SHADE, alpha=0.5, lw=0, zorder=0)
    panel.set_ylim(len(comparison.heads) - 0.5, -0.5)  # the first head is at the top
    panel.set_yticks(range(len(comparison.heads)), labels=[short(head, _HEAD_LETTERS) for head in comparison.heads])
    panel.tick_params(axis="y", length=0)
    panel.grid(False, axis="y")
    if metric.is_rate:
        percent_ticks(panel.xaxis)
    panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5))
    panel.set_title(metric.heading + ("" if metric.higher_is_better else " (lower is better)"), color=INK)


def _metrics(comparison: HeadComparison, test_set: ComparedSet) -> list[Metric]:
    """The metrics of a test set; none if every run failed."""
    return comparison.metrics_of(test_set.clean)
