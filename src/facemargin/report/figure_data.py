"""The numbers behind a figure, read from what was drawn, so that they cannot differ from it. Shapes: T points."""

from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from numpy.typing import NDArray

_MARK = "data: "
"""Begins the labels of the artists that are data. No legend shows labels of artists: all are made by
`legend_above`."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One curve or histogram: its name, and the values of its points with the names of their axes. `x_is_rate`,
    `y_is_rate`: whether the axis is in percent (the values are fractions)."""

    name: str
    x_name: str
    y_name: str
    x_T: FloatArray
    y_T: FloatArray
    x_is_rate: bool = False
    y_is_rate: bool = False


def data_label(name: str) -> str:
    """The `label` of an artist that draws the data called `name`."""
    return _MARK + name


def drawn_curves(figure: Figure) -> list[Curve]:
    """The artists of `figure` that have a `data_label`, in the order of drawing."""
    curves = []
    for axes in figure.axes:
        for artist in (*axes.lines, *axes.patches):
            label = str(artist.get_label())
            if label.startswith(_MARK):
                curves.append(_curve(label.removeprefix(_MARK), artist, axes, figure))
    return curves


def _curve(name: str, artist: Artist, axes: Axes, figure: Figure) -> Curve:
    if isinstance(artist, Line2D):
        x_T, y_T = (np.asarray(values, dtype=float) for values in artist.get_data())
    elif isinstance(artist, StepPatch):
        values, edges, _ = artist.get_data()
        x_T, y_T = np.asarray(edges, dtype=float)[:-1], np.asarray(values, dtype=float)
    else:
        raise TypeError(f"{name} is drawn by a {type(artist).__name__}, whose numbers are not known")
    x_name = axes.get_xlabel() or figure.axes[-1].get_xlabel() or figure.get_supxlabel()
    y_name = axes.get_ylabel() or figure.get_supylabel()
    return Curve(name, x_name, y_name, x_T, y_T, _in_percent(axes.xaxis), _in_percent(axes.yaxis))


def _in_percent(axis: Axis) -> bool:
    labels = axis.get_major_formatter().format_ticks(axis.get_majorticklocs().tolist())
    return any(label.endswith("%") for label in labels)
