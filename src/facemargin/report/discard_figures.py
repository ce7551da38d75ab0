"""Error-versus-discard curves of the systems that measure image quality. Shapes: T points of a curve."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from facemargin.evaluation import ErrorVersusDiscard, VerificationSummary
from facemargin.evaluation.quality_comparison import QualityComparison
from facemargin.report.figure_data import data_label
from facemargin.report.style import MUTED, SHADE, STYLE, LineStyle, legend_above, line_styles, new_axes, percent_ticks
from facemargin.report.thinning import kept_points

FEW_PAIRS = 30
"""An FNMR of fewer genuine pairs than this is drawn on grey, because it is very uncertain."""


@mpl.rc_context(STYLE)
def discard_figure(summaries: Sequence[VerificationSummary], styles: Mapping[str, LineStyle]) -> Figure:
    """FNMR against the discarded fraction, for the summaries that have this curve.

    The dotted line shows discarding at random, which on average does not change the FNMR.
    """
    curves = {s.system: s.error_versus_discard for s in summaries if s.error_versus_discard is not None}
    return _figure(curves, min(s.genuine for s in summaries), styles)


@mpl.rc_context(STYLE)
def measures_figure(comparison: QualityComparison, fmr: float, genuine: int) -> Figure:
    """FNMR against the discarded fraction for several measures of quality, at the threshold of one FMR."""
    return _figure(comparison.curves[fmr], genuine, line_styles(comparison.measures))


def _figure(curves: Mapping[str, ErrorVersusDiscard], genuine: int, styles: Mapping[str, LineStyle]) -> Figure:
    figure, axes = new_axes()
    axes.axvspan(max(0.0, 1 - FEW_PAIRS / genuine), 1, color=SHADE, zorder=0)
    handles, labels = [], []
    for name, curve in curves.items():
        style = styles[name]
        kept = kept_points(curve.discarded_T, curve.fnmr_T)
        discarded_T = np.append(curve.discarded_T[kept], curve.end)
        fnmr_T = np.append(curve.fnmr_T[kept], curve.fnmr_T[-1])
        axes.plot(
            discarded_T,
            fnmr_T,
            color=style.color,
            linestyle=style.linestyle,
            drawstyle="steps-post",
            label=data_label(name),
        )
        axes.axhline(float(fnmr_T[0]), color=style.color, linewidth=0.9, linestyle=":")
        handles.append(Line2D([], [], color=style.color, linestyle=style.linestyle))
        labels.append(name)
    axes.set_xlim(0, 1)
    top = max(0.01, *axes.get_ylim())
    axes.set_ylim(-0.02 * top, top)  # a little below zero, so that a perfect curve is visible
    percent_ticks(axes.xaxis)
    percent_ticks(axes.yaxis)
    axes.set_xlabel("genuine pairs discarded, lowest quality first")
    axes.set_ylabel("FNMR of the pairs that are left")
    legend_above(
        figure,
        [*handles, Line2D([], [], color=MUTED, linewidth=0.9, linestyle=":"), Patch(color=SHADE)],
        [*labels, "discarding at random", f"< {FEW_PAIRS} pairs left"],
    )
    return figure
