"""Whether the faces of a set are aligned, as recognisers read them: of others, embeddings say little."""

import logging

import cv2
import numpy as np

from facemargin.counting import counted
from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector
from facemargin.errors import ImageError

SIDE, BORDER = 224, 56
_LOOKED_AT = 32
# Mean distance of the landmarks from their places, by the side of the picture: of aligned faces .02 to .05, also of
# turned ones; of loose crops .16, of faces turned by 25° .1.
_OFF = 0.08
# The share of images with such faces, or with none, that is too much.
_TOO_MANY = 0.2

logger = logging.getLogger(__name__)


def bordered(image: RGBImage) -> RGBImage:
    """An aligned picture enlarged and with a border: detectors expect a face to be a part of the picture."""
    return cv2.copyMakeBorder(resize_square(image, SIDE), *4 * (BORDER,), cv2.BORDER_REPLICATE)


def alignment_doubt(images: ImageSource, detector: Detector | None) -> str:
    """A sentence, which is also a warning, if more than a fifth of up to 32 images, drawn evenly, hold no aligned face,
    or if no detector can tell; else empty."""
    if detector is None:
        return "whether faces are aligned was not looked at: no detector is installed (pip install facemargin[detect])"
    off = [
        distance
        for index in np.linspace(0, len(images) - 1, min(_LOOKED_AT, len(images))).astype(int).tolist()
        if (distance := _distance(images, index, detector)) is not None
    ]
    none, far = sum(map(np.isinf, off)), sum(distance > _OFF for distance in off)
    if far <= _TOO_MANY * len(off):
        return ""
    faceless = f" ({none} without a face that {detector.name} finds)" if none else ""
    doubt = (
        f"the faces are not aligned: of {counted(len(off), 'image')} looked at, {far}{faceless} do not have eyes, nose "
        "and mouth where aligned faces have them. Embeddings say little of such pictures, and findings may be wrong: "
        "facemargin align cuts faces out; audit those"
    )
    logger.warning("%s: %s", images.name, doubt)
    return doubt


def _distance(images: ImageSource, index: int, detector: Detector) -> float | None:
    """Of the landmarks from their places, by the side of the picture; infinite without a face, None if it is
    unreadable."""
    try:
        image = images.read(index)
    except ImageError:
        return None
    found = detector.detect(bordered(image))
    if not found:
        return float("inf")
    places_52 = (found[0].landmarks_52 + 0.5 - BORDER) / SIDE
    wanted_52 = (TEMPLATE_52 + 0.5) / TEMPLATE_SIDE
    return float(np.linalg.norm(places_52 - wanted_52, axis=1).mean())
