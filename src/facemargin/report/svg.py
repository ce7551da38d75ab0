"""Figures as SVG elements, of which one HTML page can contain several."""

import io
import re

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from facemargin.report.style import STYLE


def figure_svg(figure: Figure, name: str, label: str, description: str = "", as_file: bool = False) -> Markup:
    """`figure` as one <svg> element. Equal figures give equal text.

    Every id in it starts with `name`, which must be unique in the page, because matplotlib uses the same ids in all
    figures. Screen readers read `label` aloud, and `description` to whoever asks for more. `as_file`: with its size in
    points, and with text as text, which a paper's editor can change, instead of outlines.
    """
    buffer = io.StringIO()
    without_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with mpl.rc_context(STYLE | {"svg.hashsalt": name} | ({"svg.fonttype": "none"} if as_file else {})):
        figure.savefig(buffer, format="svg", metadata=without_metadata)
    svg = buffer.getvalue()
    # matplotlib's rule for `*` would apply to the whole page; properties of the root element are inherited instead
    style = re.search(r"<style[^>]*>\s*\*\{([^}]*)\}\s*</style>", svg)
    svg = re.sub(r"<!--.*?-->|<style.*?</style>|<metadata.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    view_box = re.search(r'viewBox="([^"]*)"', svg)
    if style is None or view_box is None:
        raise RuntimeError(
            "this version of matplotlib writes SVG in a form that facemargin does not know. Please report it, with "
            "matplotlib's version"
        )
    root = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
    if as_file:
        width, height = view_box[1].split()[2:]
        root += f' width="{width}pt" height="{height}pt"'
    told = f"<title>{escape(label)}</title>"
    if description:
        told += f"<desc>{escape(description)}</desc>"
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    return Markup(f'{root} viewBox="{view_box[1]}" aria-label="{escape(label)}" style="{style[1]}">{told}{body}')
