"""Writes a report as one HTML file that needs no other file."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup, escape

from facemargin.evaluation import Bootstrap
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP
from facemargin.files.atomic import write_text_atomically
from facemargin.report.blocks import grouped
from facemargin.report.content import ReportContent, load_run
from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.document import Document, report_document
from facemargin.report.gallery import FaceGallery
from facemargin.report.page_colors import FIGURE_COLORS, page_svg
from facemargin.report.page_numbers import thinned
from facemargin.report.png import png_uri
from facemargin.report.reconstruction_gallery import ReconstructionGallery
from facemargin.report.templates import page_templates
from facemargin.report.wording import angle_text, psnr_text

REPORT_FILE = "report.html"


def write_run_report(folder: Path, bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP) -> Path:
    """Write report.html into the run folder `folder` and return its path; raises the errors of `load_run` and
    `write_report`."""
    path = folder / REPORT_FILE
    write_report(load_run(folder), path, bootstrap)
    return path


def write_report(content: ReportContent, path: Path, bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP) -> None:
    """Write `content` to the HTML file `path`, completely or not at all.

    `bootstrap` computes the intervals in the tables; None leaves them out. Raises DataError for scores that the metrics
    do not accept, and OutputError if the file cannot be written.
    """
    write_text_atomically(path, report_html(report_document(content, bootstrap)))


def report_html(document: Document) -> str:
    """The page of a report."""
    environment = page_templates()
    return environment.get_template("page.html.jinja").render(
        document=document,
        grouped=grouped,
        svg=page_svg,
        thinned=thinned,
        figure_colors=FIGURE_COLORS,
        face_pictures=face_pictures,
        decision_pictures=decision_pictures,
        reconstruction_rows=reconstruction_rows,
        breakable=breakable,
    )


@dataclass(frozen=True)
class FacePicture:
    """One picture of the page: its PNG as a data URI, its quality and its caption."""

    uri: str
    quality: str
    caption: str


def face_pictures(gallery: FaceGallery, chosen: Iterable[int] | None = None) -> list[FacePicture]:
    """The `chosen` pictures of a gallery, or all."""
    return [
        FacePicture(png_uri(gallery.images_NHWC[i]), f"{gallery.quality_N[i]:#.3g}", gallery.captions[i])
        for i in (range(len(gallery.captions)) if chosen is None else chosen)
    ]


@dataclass(frozen=True)
class DecisionPictures:
    """One decision of the page: its two PNGs as data URIs, and what it was taken on, as texts."""

    uris: list[str]
    caption: str
    decision: str
    score: str
    qualities: str


def decision_pictures(gallery: DecisionGallery) -> list[DecisionPictures]:
    """The examples of a gallery, in its order."""
    return [
        DecisionPictures(
            [png_uri(image_HWC) for image_HWC in pair_2HWC],
            one.caption,
            one.decision,
            f"{one.score:.2f}".replace("-", "−"),
            f"{one.quality_a:#.3g} and {one.quality_b:#.3g}",
        )
        for pair_2HWC, one in zip(gallery.images_E2HWC, gallery.examples, strict=True)
    ]


@dataclass(frozen=True)
class ReconstructionRow:
    """One face of the page: its caption, its numbers as texts, and its pictures, each with heading and data URI."""

    caption: str
    numbers: list[str]
    pictures: list[tuple[str, str]]


def reconstruction_rows(gallery: ReconstructionGallery) -> list[ReconstructionRow]:
    """One row per face, in the order of the gallery."""
    pictures = gallery.pictures
    rows = zip(gallery.captions, pictures.angles_B3, pictures.psnr_B, pictures.pictures_BPHWC, strict=True)
    return [
        ReconstructionRow(
            caption=caption,
            numbers=[
                *(
                    f"{name} {angle_text(angle)}"
                    for name, angle in zip(("yaw", "pitch", "roll"), angles_3, strict=True)
                ),
                psnr_text(psnr),
            ],
            pictures=list(zip(pictures.headings, map(png_uri, pictures_PHWC), strict=True)),
        )
        for caption, angles_3, psnr, pictures_PHWC in rows
    ]


def breakable(name: str) -> Markup:
    """`name` as HTML in which a browser may break the line after underscores and slashes, which it does not do by
    default."""
    return Markup(re.sub(r"([_/]+)", r"\1<wbr>", str(escape(name))))
