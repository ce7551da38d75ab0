"""Writing a report: one HTML file that needs nothing else."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

import cv2
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from numpy.typing import NDArray

from facemargin.atomic import write_text_atomically
from facemargin.evaluation import Bootstrap
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP
from facemargin.report.content import ReportContent, load_run
from facemargin.report.evaluation_section import evaluation_section
from facemargin.report.gallery import FaceGallery
from facemargin.report.style import line_styles
from facemargin.report.svg import figure_svg
from facemargin.report.training_section import training_figures, validation_figures

REPORT_FILE = "report.html"
FACES_A_ROW = 8


def write_run_report(folder: Path, bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP) -> Path:
    """Write report.html into the run folder `folder` and return its path; errors as `load_run` and `write_report`."""
    path = folder / REPORT_FILE
    write_report(load_run(folder), path, bootstrap)
    return path


def write_report(content: ReportContent, path: Path, bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP) -> None:
    """Write `content` to the HTML file `path`, whole or not at all.

    `bootstrap` makes the intervals of the tables, None leaves them out. Raises DataError for scores that no metric
    takes, CheckpointError if the file cannot be written.
    """
    systems = [system.system for evaluation in content.evaluations for system in evaluation.systems]
    styles = line_styles(systems)
    sections = [
        evaluation_section(evaluation, number, styles, bootstrap)
        for number, evaluation in enumerate(content.evaluations, start=1)
    ]
    environment = Environment(
        loader=PackageLoader("facemargin", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    html = environment.get_template("page.html.jinja").render(
        content=content,
        sections=sections,
        training=[*training_figures(content.metrics), *validation_figures(content.validation)],
        svg=figure_svg,
        face_rows=face_rows,
        breakable=breakable,
    )
    write_text_atomically(path, html)


@dataclass(frozen=True)
class Face:
    """One picture of the page: its PNG as a data URI, its quality and its caption."""

    uri: str
    quality: str
    caption: str


def face_rows(gallery: FaceGallery) -> list[tuple[str, list[Face]]]:
    """The lowest and the highest qualities of a gallery, each with a heading."""
    lowest, highest = gallery.extremes(FACES_A_ROW)
    rows = [("Lowest quality", lowest), ("Highest quality", highest)]
    return [
        (
            heading,
            [
                Face(png_uri(gallery.images_NHWC[i]), f"{gallery.quality_N[i]:#.3g}", gallery.captions[i])
                for i in chosen
            ],
        )
        for heading, chosen in rows
        if len(chosen)
    ]


def breakable(name: str) -> Markup:
    """`name` as HTML that may be wrapped after underscores and slashes, which a browser does not do by itself."""
    return Markup(re.sub(r"([_/]+)", r"\1<wbr>", str(escape(name))))


def png_uri(image_HWC: NDArray) -> str:
    """An RGB image as a data URI; a grey one takes a third of the space."""
    is_grey = (image_HWC == image_HWC[..., :1]).all()
    _, png = cv2.imencode(".png", image_HWC[..., 0] if is_grey else cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR))
    return "data:image/png;base64," + base64.b64encode(png.tobytes()).decode("ascii")
