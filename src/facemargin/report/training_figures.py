"""Curves of a training run. Shapes: R logged rows."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from facemargin.report.figure_data import data_label
from facemargin.report.style import STYLE, LineStyle, legend_above, line_styles, new_axes
from facemargin.report.thinning import FloatArray, kept_points, moving_average

SMOOTH_FROM_ROWS = 60
"""Logs with fewer rows than this are drawn without smoothing."""

MARK_UP_TO_ROWS = 30
"""Up to this number of points, each point gets a marker."""


@mpl.rc_context(STYLE)
def step_figure(
    lines: Mapping[str, tuple[FloatArray, FloatArray]], ylabel: str, smooth: bool = False, log: bool = False
) -> Figure:
    """Draw `lines`, each a name with its step_R and value_R; lines continue across gaps (NaN). With `smooth`, a long
    line is drawn pale, with its moving average over a thirtieth of its length on top. `log` makes the value axis
    logarithmic."""
    figure, axes = new_axes(height=2.6)
    styles = line_styles(lines)
    for name, (step_R, value_R) in lines.items():
        finite_R = np.isfinite(value_R)
        _draw_line(axes, name, step_R[finite_R], value_R[finite_R], styles[name], smooth)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    if log:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axes.set_xlim(left=0)
    axes.set_xlabel("step")
    axes.set_ylabel(ylabel)
    if len(lines) > 1:
        handles = [Line2D([], [], color=style.color, linestyle=style.linestyle) for style in styles.values()]
        legend_above(figure, handles, list(lines))
    return figure


def _draw_line(axes: Axes, name: str, step_R: FloatArray, value_R: FloatArray, style: LineStyle, smooth: bool) -> None:
    kept = kept_points(step_R, value_R)
    marker = "o" if len(step_R) <= MARK_UP_TO_ROWS else ""
    if smooth and len(step_R) >= SMOOTH_FROM_ROWS:
        label = data_label(name)
        axes.plot(step_R[kept], value_R[kept], color=style.color, alpha=0.3, linewidth=0.8, label=label)
        name = f"{name}, moving average"
        value_R = moving_average(value_R, window=len(value_R) // 30)
        kept = kept_points(step_R, value_R)
    axes.plot(
        step_R[kept],
        value_R[kept],
        color=style.color,
        linestyle=style.linestyle,
        marker=marker,
        markersize=3.5,
        label=data_label(name),
    )
