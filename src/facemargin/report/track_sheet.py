"""A contact sheet of the tracks of a video: one row a track, its best faces with their times, and the answer.

Shapes: H × W pixels.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.images.pixels import resize_square
from facemargin.features.tracks import FaceTrack
from facemargin.files.atomic import write_atomically
from facemargin.gallery.identification import Answer, Identification
from facemargin.report.wording import short

CROPS = 6
"""So many faces of a track are shown."""

_ROWS = 40
_SIDE, _GAP, _LINE = 112, 10, 17
_TEXT_WIDTH, _LETTERS = 400, 62
_ROW_HEIGHT = _SIDE + 2 * _GAP + _LINE
_DPI = 100
_COLORS: dict[Answer | None, str] = {
    "this person": "#00785a",
    "nobody enrolled": "#5c5c5c",
    "cannot tell": "#a65200",
    "too poor to decide": "#a65200",
    None: "#5c5c5c",
}


@dataclass(frozen=True)
class SheetRow:
    """A track, by its `name`, and who it is."""

    name: str
    track: FaceTrack
    answer: Identification


def write_sheet(rows: Sequence[SheetRow], path: Path) -> list[Path]:
    """Write the sheet as .png: 40 rows to `path`, further ones to NAME-2.png and so on; returns the paths. Each file is
    written completely or not at all."""
    paths = []
    for number, start in enumerate(range(0, max(len(rows), 1), _ROWS), 1):
        page = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        _write_page(rows[start : start + _ROWS], page)
        paths.append(page)
    return paths


def _write_page(rows: Sequence[SheetRow], path: Path) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from facemargin.report.style import INK, MUTED, STYLE

    width = _TEXT_WIDTH + CROPS * (_SIDE + _GAP) + _GAP
    height = max(len(rows), 1) * _ROW_HEIGHT
    canvas = np.full((height, width, 3), 255, np.uint8)
    with mpl.rc_context({**STYLE, "figure.constrained_layout.use": False, "axes.grid": False}):
        figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for number, row in enumerate(rows):
            top = number * _ROW_HEIGHT
            canvas[top, :] = 225
            for place, face in enumerate(_shown(row.track)):
                left = _TEXT_WIDTH + place * (_SIDE + _GAP)
                canvas[top + _GAP : top + _GAP + _SIDE, left : left + _SIDE] = face
                seconds, quality = row.track.faces[place].seconds, row.track.faces[place].quality
                words = f"{clock(seconds)}, quality {quality:.3g}"
                axes.text(left, top + _GAP + _SIDE + 11, words, fontsize=6.5, color=MUTED, va="center")
            y = top + _GAP + 7
            for words, size, color, weight in _lines(row, INK, MUTED):
                axes.text(_GAP, y, words, fontsize=size, color=color, weight=weight, va="center")
                y += _LINE + 2 * (size > 9)
        if not rows:
            axes.text(_GAP, height / 2, "no track of a face was found", color=INK, va="center")
        axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0), aspect="auto")
        axes.set(xlim=(0, width), ylim=(height, 0))
        write_atomically(path, lambda temporary: figure.savefig(temporary, format="png"))


def _shown(track: FaceTrack) -> list[NDArray[np.uint8]]:
    """The best faces whose pictures were kept."""
    return [resize_square(face.crop, _SIDE) for face in track.faces[:CROPS] if face.crop.size]


def _lines(row: SheetRow, ink: str, muted: str) -> list[tuple[str, float, str, str]]:
    """(text, size, colour, weight) of each line beside a row's faces."""
    answer, track = row.answer, row.track
    color = _COLORS[answer.decision]
    best = answer.candidates[0].person if answer.candidates else ""
    if answer.decision == "this person":
        head = str(answer.person)
    else:
        head = answer.decision or (f"most alike: {best}" if best else "no answer")
    figures = [] if math.isnan(answer.score) else [f"score {answer.score:.4f}"]
    figures += [] if math.isnan(answer.quality) else [f"quality {answer.quality:.4g}"]
    if answer.decision not in ("this person", None) and best:
        figures.insert(0, f"most alike {short(best, 24)}")
    seen = f"{clock(track.first_second)} to {clock(track.last_second)}, in {track.frames:,} of the frames searched"
    lines = [
        (short(row.name, _LETTERS), 8.0, muted, "normal"),
        (short(head, 34), 13.0, color, "bold"),
        (", ".join(figures), 8.5, ink, "normal"),
        (seen, 8.0, ink, "normal"),
    ]
    reasons = textwrap.wrap("; ".join(reason.words for reason in answer.reasons), _LETTERS)
    if len(reasons) > 2:
        reasons = [reasons[0], f"{reasons[1][: _LETTERS - 1]}…"]
    return [line for line in lines if line[0]] + [(words, 8.0, color, "normal") for words in reasons]


def clock(seconds: float) -> str:
    """ "1:02:03.4", or "2:03.4" before an hour has passed."""
    tenths = round(seconds * 10)
    hours, minutes, rest = tenths // 36_000, tenths // 600 % 60, tenths % 600 / 10
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"
