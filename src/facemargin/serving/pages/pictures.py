"""Photographs as a page shows them back: small, within the page, with a frame around each face. None is kept."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice, Face, choose_faces
from facemargin.errors import ImageError

SIDE = 640
"""The longest side, in pixels."""


@dataclass(frozen=True)
class Frame:
    """Around a face, in pixels of the picture as it is shown; `used`: whether it is the one that was compared."""

    left: float
    top: float
    width: float
    height: float
    used: bool


@dataclass(frozen=True)
class ShownPicture:
    """A picture as a data: URI, of this size; `frames` None where no faces were looked for; `words` on what was
    found."""

    uri: str
    width: int
    height: int
    frames: tuple[Frame, ...] | None
    words: str


def show(pictures: ImageSource, index: int, detector: Detector | None, faces: Choice) -> ShownPicture | None:
    """A picture with its faces; None for one that cannot be read, of which the answer says why."""
    try:
        image = pictures.read(index)
    except ImageError:
        return None
    found = None if detector is None else detector.detect(image)
    height, width = image.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    if found is None:
        return ShownPicture(_uri(small), *size, None, "taken as an aligned face")
    used = _used(found, faces, image)
    frames = tuple(_frame(face, scale, face is used) for face in found)
    return ShownPicture(_uri(small), *size, frames, _words(len(found), faces, used is not None))


def _used(found: Sequence[Face], faces: Choice, image: RGBImage) -> Face | None:
    try:
        return next(iter(choose_faces(list(found), faces, image)), None)
    except ImageError:  # several faces, which are refused
        return None


def _words(number: int, faces: Choice, is_used: bool) -> str:
    if number == 0:
        return "no face found"
    if number == 1:
        return "1 face found"
    if not is_used:
        return f"{number} faces found, none is used"
    return f"{number} faces found, the {'most central' if faces == 'central' else faces} is used"


def _frame(face: Face, scale: float, used: bool) -> Frame:
    left, top, right, bottom = (scale * (value + 0.5) for value in face.box)
    return Frame(round(left, 1), round(top, 1), round(right - left, 1), round(bottom - top, 1), used)


def _uri(image: RGBImage) -> str:
    content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(content.tobytes()).decode()}"
