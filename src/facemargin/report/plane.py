"""The plane of target cosine and norm: one point an image, coloured by what an audit found. Shapes: N images."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from facemargin.data.findings import NOISE_AND_COPIES
from facemargin.report.figure_data import data_label
from facemargin.report.style import line_styles

_MOST_POINTS = 2000


def draw_plane(
    axes: Axes,
    norm_N: NDArray[np.floating[Any]],
    cosine_N: NDArray[np.floating[Any]],
    gap_N: NDArray[np.floating[Any]],
    kind_N: NDArray[np.str_] | None,
) -> dict[str, Line2D]:
    """Draw the points, evenly chosen where there are more than 2,000 of a colour; returns what a legend shows.

    `gap_N`: how much nearer the own centre is than the nearest other. Images whose norm, cosine or gap is not finite
    are left out. `kind_N`: the kind of each image's surest finding, or ""; None without an audit."""
    told = np.flatnonzero(np.isfinite(norm_N) & np.isfinite(cosine_N) & np.isfinite(gap_N))
    kinds = {"nearest to the own centre": gap_N >= 0, "nearer to another's": gap_N < 0}
    if kind_N is not None:
        kinds = {name: of_kind_N & (kind_N == "") for name, of_kind_N in kinds.items()}
        kinds |= {kind: kind_N == kind for kind in NOISE_AND_COPIES}
    styles = line_styles(kinds)
    shown = {}
    for name, of_kind_N in kinds.items():
        # evenly over the set, so that the picture of a large one stays small
        index = told[of_kind_N[told]]
        index = index[:: max(1, -(-len(index) // _MOST_POINTS))]
        if len(index):
            shown[name] = Line2D([], [], color=styles[name].color, linestyle="", marker="o", markersize=4)
            axes.plot(
                norm_N[index],
                cosine_N[index],
                linestyle="",
                marker="o",
                markersize=4 if name in NOISE_AND_COPIES else 2.2,
                markeredgewidth=0,
                alpha=0.9 if name in NOISE_AND_COPIES else 0.6,
                color=styles[name].color,
                label=data_label(name),
            )
    axes.set_xlabel("length of the feature")
    axes.set_ylabel("cosine to the own centre")
    return shown
