"""Figures as SVG elements that can stand side by side in one HTML page."""

import io
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from facemargin.report.style import STYLE


def figure_svg(figure: Figure, name: str, label: str) -> Markup:
    """`figure` as one <svg> element, the same text for the same figure.

    Every id in it starts with `name`, which has to be unique in the page: matplotlib gives the same ids to all
    figures. `label` is read out by screen readers.
    """
    buffer = io.StringIO()
    without_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=without_metadata)
    svg = buffer.getvalue()
    # a rule for `*` would apply to the whole page; on the root the same properties are inherited
    style = re.search(r"<style[^>]*>\s*\*\{([^}]*)\}\s*</style>", svg)
    svg = re.sub(r"<!--.*?-->|<style.*?</style>|<metadata.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    view_box = re.search(r'viewBox="([^"]*)"', svg)
    if style is None or view_box is None:
        raise RuntimeError("this matplotlib writes SVG in another form than facemargin knows; please report it")
    root = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    return Markup(f'{root} viewBox="{view_box[1]}" aria-label="{escape(label)}" style="{style[1]}">{body}')
