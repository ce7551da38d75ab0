"""Faces in a photograph, and which of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import RGBImage
from facemargin.errors import ConfigError, SeveralFacesError
from facemargin.registry import unknown_name

Choice = Literal["largest", "central", "all", "error"]
"""Which of several faces: that of the largest box, that whose box lies nearest to the image's centre, or all; "error":
none, an image with several is of no use."""


@dataclass(frozen=True, eq=False)
class Face:
    """A face in pixels of its image, where (0, 0) is the centre of the pixel at the top left.

    box: left, top, right, bottom, within the image. score: the detector's, from 0 to 1. landmarks_52: (5, 2) float64,
    (x, y) of the left eye, right eye, nose, left and right corner of the mouth, left as seen.

    Examples:
        >>> import facemargin as fm
        >>> (face,) = fm.detect(fm.open_images("orl").read(0))
        >>> face.landmarks_52.shape, face.score > 0.5
        ((5, 2), True)
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks_52: NDArray[np.float64]

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


def choose_faces(faces: Sequence[Face], choice: Choice, image: RGBImage) -> list[Face]:
    """The faces that `choice` asks for: all from the largest to the smallest, else one; none of none.

    Raises ConfigError for another choice, and SeveralFacesError where there are several and the choice is "error".
    """
    if choice not in get_args(Choice):
        raise ConfigError(unknown_name("choice of faces", str(choice), list(get_args(Choice))))
    if choice == "error" and len(faces) > 1:
        raise SeveralFacesError(f"{len(faces)} faces were found, expected one")
    if choice == "central":
        height, width = image.shape[:2]
        return sorted(faces, key=lambda face: _distance(face, (width - 1) / 2, (height - 1) / 2))[:1]
    ordered = sorted(faces, key=lambda face: -face.area)
    return ordered if choice == "all" else ordered[:1]


def _distance(face: Face, x: float, y: float) -> float:
    left, top, right, bottom = face.box
    return float(np.hypot((left + right) / 2 - x, (top + bottom) / 2 - y))
