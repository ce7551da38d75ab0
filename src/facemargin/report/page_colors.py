"""The colours of figures on a page, which follow the page into the dark."""

import re
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure

from facemargin.report.style import COLORS, GRID, INK, MUTED, SHADE
from facemargin.report.svg import figure_svg

# The variables of the page for the colours that are text or background.
_OF_THE_PAGE = {INK: "--ink", "#ffffff": "--paper"}

# Light on dark, in the order of the colours that they stand for, and as different from each other.
_DARK = {
    MUTED: "#8b9096", SHADE: "#2b3036", GRID: "#34383e",
    "#0072b2": "#4c9be8", "#d55e00": "#ff8a4c", "#009e73": "#2fc99a",
    "#cc79a7": "#e39ac6", "#e69f00": "#f0b23c", "#56b4e9": "#a5dcff",
}  # fmt: skip
assert set(COLORS) < set(_DARK)

_VARIABLES = {color: f"--figure-{place}" for place, color in enumerate(_DARK, start=1)}


@dataclass(frozen=True)
class FigureColors:
    """The declarations of the variables of figures, for a light and a dark page."""

    light: str
    dark: str


FIGURE_COLORS = FigureColors(
    light=" ".join(f"{variable}: {color};" for color, variable in _VARIABLES.items()),
    dark=" ".join(f"{variable}: {_DARK[color]};" for color, variable in _VARIABLES.items()),
)


def page_svg(figure: Figure, name: str, label: str, description: str = "") -> Markup:
    """`figure_svg` with the colours of the page, for pages whose style has `FIGURE_COLORS`."""
    variables = _OF_THE_PAGE | _VARIABLES
    svg = figure_svg(figure, name, label, description)
    colored = re.sub(
        r"\b(?:fill|stroke): (#[0-9a-f]{6})\b",
        lambda found: found[0].replace(found[1], f"var({variables[found[1]]})") if found[1] in variables else found[0],
        svg,
    )
    return Markup(colored)
