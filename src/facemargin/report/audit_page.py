"""Writes the page on which somebody decides on the findings of an audit: one HTML file that needs no other and no
server. Shapes: H × W pixels, C = 3 (RGB)."""

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import cv2
from markupsafe import Markup

from facemargin.auditing import KINDS, Audit, Finding
from facemargin.auditing.decisions import DECISION_COLUMN, DECISIONS_FILE
from facemargin.counting import counted
from facemargin.data.findings import COLUMNS
from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import ImageError
from facemargin.files.atomic import write_text_atomically
from facemargin.report.audit_faces import AuditFaces
from facemargin.report.page_colors import FIGURE_COLORS
from facemargin.report.templates import page_templates

PAGE_FILE = "audit.html"
MOST_FINDINGS = 5_000
_SIDE, _QUALITY = 96, 80

_ACCEPTING = {
    "mislabelled": "the image is left out (or moved to the person suggested, with --mislabelled move)",
    "split": "the two labels become one",
    "merged": "the smaller group gets a label of its own",
    "duplicate": "the copy is left out, the other picture stays",
    "unrecognisable": "the image is left out",
    "no_face": "the image is left out",
}

Report = Callable[[int, int], object]
"""A function that is called with the number of finished images and the number of all that are shown."""


def write_audit_page(
    audit: Audit,
    images: LabeledImages,
    path: Path,
    report: Report = lambda done, total: None,
    most: int = MOST_FINDINGS,
) -> int:
    """Write the page to `path`, completely or not at all, and return how many findings it shows: at most `most`, the
    surest of each kind in turn; it says how many it leaves out.

    Raises DataError if `images` are not those that were audited, and OutputError if the file cannot be written. An
    image that cannot be read is an empty square.
    """
    audit.require_same_data(images)
    shown = surest(audit, most)
    write_text_atomically(path, audit_html(audit, images, shown, report))
    return len(shown)


def surest(audit: Audit, most: int) -> list[tuple[int, Finding]]:
    """Up to `most` findings with their numbers in the audit, in its order: the surest of each kind, then the second of
    each, and so on."""
    seen = dict.fromkeys(KINDS, 0)
    ranked = []
    for number, finding in enumerate(audit):
        ranked.append((seen[finding.kind], number, finding))
        seen[finding.kind] += 1
    return sorted((number, finding) for _, number, finding in sorted(ranked, key=lambda item: item[:2])[:most])


def audit_html(audit: Audit, images: LabeledImages, shown: list[tuple[int, Finding]], report: Report) -> str:
    """The page of the findings `shown`."""
    environment = page_templates()
    environment.filters |= {"counted": lambda number, *names: counted(number, *names), "shown": _shown}
    script = Markup(environment.get_template("audit.js.jinja").render())
    return environment.get_template("audit.html.jinja").render(
        audit=audit,
        shown=len(shown),
        counts=audit.counts(),
        kinds=KINDS,
        accepting=_ACCEPTING,
        decisions_file=DECISIONS_FILE,
        figure_colors=FIGURE_COLORS,
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=_script_json(_content(audit, images, shown, report)),
    )


def _content(audit: Audit, images: LabeledImages, shown: list[tuple[int, Finding]], report: Report) -> dict[str, Any]:
    """What the page's script shows: each face once, however many findings show it."""
    faces = AuditFaces(audit, images)
    strips = [faces.strips(finding) for _, finding in shown]
    needed = sorted({index for of_one in strips for strip in of_one for index in strip.images})
    places = {index: place for place, index in enumerate(needed)}
    thumbnails = []
    for done, index in enumerate(needed):
        thumbnails.append([images.describe(index), _face(images, index)])
        report(done + 1, len(needed))
    findings = [
        {
            "number": number,
            "row": [*map(str, astuple(finding)[:2]), repr(finding.score), *astuple(finding)[3:]],
            "strips": [[strip.caption, [places[index] for index in strip.images]] for strip in of_one],
        }
        for (number, finding), of_one in zip(shown, strips, strict=True)
    ]
    return {
        "audit": _fingerprint(audit),
        "columns": [*COLUMNS, DECISION_COLUMN],
        "file": DECISIONS_FILE,
        "faces": thumbnails,
        "findings": findings,
    }


def _shown(name: str) -> str:
    """A name that need not be UTF-8, for people."""
    return name.encode("utf-8", "surrogateescape").decode(errors="replace")


def _fingerprint(audit: Audit) -> str:
    """Of the findings in their order and of the images: a browser keeps decisions under it."""
    rows = json.dumps([astuple(audit.data), [astuple(finding) for finding in audit]])
    return hashlib.blake2b(rows.encode(), digest_size=16).hexdigest()


def _face(images: LabeledImages, index: int) -> str:
    """A small JPEG in Base64; "" for an image that cannot be read."""
    try:
        return thumbnail(images.read(index))
    except ImageError:
        return ""


def thumbnail(image_HWC: RGBImage) -> str:
    """The image at no more than 96 pixels a side, as a JPEG in Base64."""
    height, width = image_HWC.shape[:2]
    scale = min(1.0, _SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA) if scale < 1 else image_HWC
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return base64.b64encode(jpeg.tobytes()).decode("ascii")


def _script_json(content: dict[str, Any]) -> Markup:
    """JSON that can stand in a script element: no name can end it, and all of it is ASCII."""
    return Markup(json.dumps(content, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026"))
