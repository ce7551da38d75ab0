"""Score distributions of several systems on one data set. Shapes: K pairs."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from facemargin.evaluation import PairScores
from facemargin.report.figure_data import data_label
from facemargin.report.style import FIGURE_WIDTH, INK, MUTED, STYLE, LineStyle, legend_above, percent_ticks
from facemargin.report.wording import short

NUM_BINS = 50


@mpl.rc_context(STYLE)
def score_figure(
    systems: Sequence[PairScores], thresholds: Sequence[float], threshold_label: str, styles: Mapping[str, LineStyle]
) -> Figure:
    """One histogram per system: genuine pairs filled, impostor pairs outlined; the bars of each kind add up to 1.

    `thresholds` has one score per system. A threshold that is not finite is not drawn.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, 0.7 + 1.35 * len(systems)))
    all_axes = figure.subplots(len(systems), 1, squeeze=False)[:, 0]
    for axes, system, threshold in zip(all_axes, systems, thresholds, strict=True):
        edges = np.histogram_bin_edges(system.scores_K, NUM_BINS)
        for kind, kind_K, drawing in (
            ("genuine", system.same_K, {"fill": True, "color": styles[system.system].color, "alpha": 0.55}),
            ("impostor", ~system.same_K, {"fill": False, "edgecolor": INK, "linewidth": 1.1}),
        ):
            counts, _ = np.histogram(system.scores_K[kind_K], edges)
            label = data_label(f"{system.system}, {kind}")
            axes.stairs(counts / max(1, counts.sum()), edges, label=label, **drawing)
        if np.isfinite(threshold):
            axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--")
        axes.set_title(short(system.system))
        axes.set_ylim(bottom=0)
        percent_ticks(axes.yaxis)
        axes.locator_params(axis="x", nbins=7)
        axes.locator_params(axis="y", nbins=3)
        axes.grid(visible=False, axis="x")
    all_axes[-1].set_xlabel("similarity score")
    figure.supylabel("share of pairs", fontsize=STYLE["font.size"])
    legend_above(
        figure,
        [
            Patch(color=MUTED, alpha=0.55),
            Patch(fill=False, edgecolor=INK, linewidth=1.1),
            Line2D([], [], color=INK, linewidth=1.2, linestyle="--"),
        ],
        ["genuine", "impostor", threshold_label],
    )
    return figure
