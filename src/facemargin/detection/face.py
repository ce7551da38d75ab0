"""Faces in a photograph, and the choice between several of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import RGBImage
from facemargin.errors import ConfigError, SeveralFacesError
from facemargin.registry import unknown_name

Choice = Literal["largest", "central", "all", "error"]
"""Which of several faces is used: the one with the largest box, the one whose box is nearest to the centre of the
image, or all. "error" refuses an image with several faces."""


@dataclass(frozen=True, eq=False, repr=False)
class Face:
    """A face in pixels of its image, where (0, 0) is the centre of the pixel at the top left.

    box: left, top, right, bottom, within the image. score: how sure the detector is, from 0 to 1. landmarks_52: (5, 2)
    float64, (x, y) of the left eye, right eye, nose, left and right corner of the mouth; "left" means the left side of
    the image.

    Examples:
        >>> import facemargin as fm
        >>> (face,) = fm.detect(fm.open_images("orl").read(0))
        >>> face.landmarks_52.shape, face.score > 0.5
        ((5, 2), True)
        >>> face
        Face(box ..., score 0...)
    """

    box: tuple[float, float, float, float]
    score: float
    landmarks_52: NDArray[np.float64]

    def __repr__(self) -> str:
        left, top, right, bottom = self.box
        return f"Face(box {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}, score {self.score:.2f})"

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


@dataclass(frozen=True)
class FoundFace:
    """The `face` of a photograph that was used, of `num_faces` that were found in it."""

    face: Face
    num_faces: int

    def __str__(self) -> str:
        left, top, right, bottom = self.face.box
        return f"{self.num_faces}, used is the one at {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}"


def choose_faces(faces: Sequence[Face], choice: Choice, image: RGBImage) -> list[Face]:
    """The faces that `choice` selects: a list of one face, or with "all" of all faces from the largest to the smallest.
    The list is empty if `faces` is empty.

    Raises ConfigError for an unknown choice, and SeveralFacesError if there are several faces and the choice is
    "error"."""
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
