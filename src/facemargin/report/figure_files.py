"""Figures as files of their own, for a paper: SVG whose text is text, and PDF with embedded TrueType fonts."""

import csv
import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.report.blocks import FigureBlock
from facemargin.report.style import STYLE
from facemargin.report.svg import figure_svg

# Type 42 is TrueType: publishers refuse matplotlib's default, Type 3.
_PDF = {"pdf.fonttype": 42, "pdf.compression": 9}


def write_figure_svg(block: FigureBlock, path: Path) -> None:
    """The figure as an SVG file on white. Raises OutputError if it cannot be written."""
    svg = figure_svg(block.figure, block.name, block.title, block.caption, as_file=True)
    write_text_atomically(path, f"{svg}\n")


def write_figure_pdf(figure: Figure, path: Path) -> None:
    """The figure as a PDF file; equal figures give equal files. Raises OutputError if it cannot be written."""
    with mpl.rc_context(STYLE | _PDF):
        write_atomically(
            path, lambda temporary: figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
        )


def figure_csv(block: FigureBlock) -> str:
    """The points that the figure draws, one a row, in full precision; rates are fractions."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    of_all = len({(curve.x_name, curve.y_name) for curve in block.data}) == 1
    axes = [block.data[0].x_name, block.data[0].y_name] if of_all else ["x", "y"]
    writer.writerow(["curve", *axes])
    for curve in block.data:
        writer.writerows([curve.name, x, y] for x, y in zip(curve.x_T.tolist(), curve.y_T.tolist(), strict=True))
    return buffer.getvalue()
