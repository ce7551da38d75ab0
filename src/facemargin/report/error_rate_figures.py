"""ROC and DET curves of several systems on one data set. Shapes: T points of a curve."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from facemargin.evaluation import RocCurve, VerificationSummary
from facemargin.report.figure_data import data_label
from facemargin.report.style import MUTED, SHADE, STYLE, LineStyle, legend_above, new_axes, percent_ticks
from facemargin.report.thinning import kept_points
from facemargin.report.wording import percent

FEW_IMPOSTORS = 10
"""A FAR with fewer accepted impostor pairs than this is drawn on grey, because one pair more or less changes it a
lot."""

Styles = Mapping[str, LineStyle]
FloatArray = NDArray[np.float64]


@mpl.rc_context(STYLE)
def roc_figure(summaries: Sequence[VerificationSummary], styles: Styles) -> Figure:
    """TAR against FAR on a log axis, which starts at the smallest FAR that the impostor pairs can measure. One summary
    per system."""
    figure, axes = new_axes()
    low = _lowest_far(summaries)
    for summary in summaries:
        far_T, tar_T = roc_points(summary.roc, low)
        _plot(axes, summary, far_T, tar_T, styles)
    axes.set_ylim(-0.02, 1.02)
    percent_ticks(axes.yaxis)
    axes.set_ylabel("true accept rate (TAR)")
    _finish(figure, axes, summaries, styles, low)
    return figure


@mpl.rc_context(STYLE)
def det_figure(summaries: Sequence[VerificationSummary], styles: Styles) -> Figure:
    """FNMR = 1 − TAR against FAR, both on log axes; an FNMR of zero is drawn at the bottom. One summary per system."""
    figure, axes = new_axes()
    low = _lowest_far(summaries)
    one_pair = 1 / max(summary.genuine for summary in summaries)
    floor = one_pair / 2
    for summary in summaries:
        far_T, tar_T = roc_points(summary.roc, low)
        fnmr_T = (1 - tar_T).clip(min=floor)
        _plot(axes, summary, far_T, fnmr_T, styles)
    axes.plot([max(low, floor), 1], [max(low, floor), 1], color=MUTED, linewidth=0.8, linestyle=":")
    decades = _decades(one_pair)
    axes.set_yscale("log")
    axes.set_yticks([floor, *decades], labels=["0", *map(percent, decades)])
    axes.set_yticks([], minor=True)
    axes.set_ylim(floor * 0.85, 1.1)
    axes.set_ylabel("false non-match rate (FNMR)")
    _finish(figure, axes, summaries, styles, low, [(Line2D([], [], color=MUTED, lw=0.8, ls=":"), "FAR = FNMR")])
    return figure


def roc_points(curve: RocCurve, low: float) -> tuple[FloatArray, FloatArray]:
    """far_T and tar_T of `curve` from FAR `low` on, thinned for a log axis."""
    start = int(np.searchsorted(curve.far_T, low, side="right")) - 1  # the highest TAR at a FAR of at most low
    far_T = np.append(low, curve.far_T[start + 1 :])
    tar_T = curve.tar_T[start:]
    kept = kept_points(np.log(far_T), tar_T)
    return far_T[kept], tar_T[kept]


def _plot(axes: Axes, summary: VerificationSummary, x_T: FloatArray, y_T: FloatArray, styles: Styles) -> None:
    style = styles[summary.system]
    axes.plot(x_T, y_T, color=style.color, linestyle=style.linestyle, label=data_label(summary.system))


def _lowest_far(summaries: Sequence[VerificationSummary]) -> float:
    return min(0.1, 1 / max(summary.impostors for summary in summaries))


def _decades(low: float) -> list[float]:
    """The powers of ten from 1 down to `low`."""
    return [10.0**-power for power in range(int(-np.log10(low) + 1e-9) + 1)]


def _finish(
    figure: Figure,
    axes: Axes,
    summaries: Sequence[VerificationSummary],
    styles: Styles,
    low: float,
    extra: Sequence[tuple[Artist, str]] = (),
) -> None:
    axes.set_xscale("log")
    decades = _decades(low)
    axes.set_xticks(decades, labels=list(map(percent, decades)))
    axes.set_xticks([], minor=True)
    axes.set_xlim(low, 1)
    axes.set_xlabel("false accept rate (FAR)")
    few = min(1.0, FEW_IMPOSTORS / min(summary.impostors for summary in summaries))
    axes.axvspan(low, few, color=SHADE, zorder=0)
    entries: list[tuple[Artist, str]] = [
        (Line2D([], [], color=styles[summary.system].color, linestyle=styles[summary.system].linestyle), summary.system)
        for summary in summaries
    ]
    entries += [*extra, (Patch(color=SHADE), f"< {FEW_IMPOSTORS} impostors")]
    handles, labels = zip(*entries, strict=True)
    legend_above(figure, handles, labels)
