"""The numbers behind a figure as a table of a page, for readers who do not see the figure. Shapes: T points."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facemargin.report.figure_data import Curve

POINTS_A_CURVE = 12


@dataclass(frozen=True)
class PageNumbers:
    """`headings` of the two number columns, `rows` of curve, x and y as texts, and what was left out (empty if nothing
    was)."""

    headings: tuple[str, str]
    rows: list[tuple[str, str, str]]
    left_out: str


def thinned(curves: Sequence[Curve]) -> PageNumbers:
    """Up to `POINTS_A_CURVE` points of every curve, the first and the last among them."""
    rows = []
    for curve in curves:
        kept = np.unique(np.linspace(0, max(len(curve.x_T) - 1, 0), POINTS_A_CURVE).round().astype(int))
        for place in kept[: len(curve.x_T)]:
            x, y = _text(curve.x_T[place], curve.x_is_rate), _text(curve.y_T[place], curve.y_is_rate)
            rows.append((curve.name, x, y))
    points = sum(len(curve.x_T) for curve in curves)
    left_out = ""
    if points > len(rows):
        left_out = f"{len(rows):,} of {points:,} points; facemargin report --format csv writes all."
    names = {(curve.x_name, curve.y_name) for curve in curves}
    return PageNumbers(names.pop() if len(names) == 1 else ("x", "y"), rows, left_out)


def _text(value: float, is_rate: bool) -> str:
    return f"{100 * value:.4g}%" if is_rate else f"{value:.4g}"
