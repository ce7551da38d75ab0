"""Detection in several looks: first the whole photograph, then every face again, turned upright and scaled to a fixed
size, so that its landmarks depend little on how it was turned.

Shapes: H × W pixels of the image.
"""

from abc import ABC, abstractmethod

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE, similarity_transform
from facemargin.data.crop import warp_square
from facemargin.data.source import RGBImage
from facemargin.detection.detector import Setting
from facemargin.detection.face import Face
from facemargin.errors import ConfigError, DataError

_SIDES = range(32, 2**13 + 1)

# Every further detection uses an upright square of this side, in which the face fills 140 × 140 pixels.
_LOOK_SIDE = 224
_LOOK_SCALE = 1.25

# Degrees.
_SETTLED = 1.5


class DetectorByLooks(ABC):
    """A detector of one network, whose `look` is called for the photograph and for every face found in it.

    Images whose longer side exceeds `longest_side` are shrunk to it first. Faces below `min_score` are left out. Every
    face is detected again at most `most_looks` times: a network that underestimates how far a face is turned needs
    several looks, which end when one of them turns the landmarks by less than 1.5°. Raises ConfigError for settings out
    of range.
    """

    name: str

    def __init__(self, min_score: float, longest_side: int, most_looks: int = 1) -> None:
        if not 0 < min_score < 1:
            raise ConfigError(f"the detector's min_score is {min_score}, expected a number between 0 and 1")
        if longest_side not in _SIDES:
            raise ConfigError(
                f"the detector's longest_side is {longest_side}, expected {_SIDES[0]} to {_SIDES[-1]} pixels"
            )
        if type(most_looks) is not int or most_looks < 0:
            raise ConfigError(f"the detector's most_looks is {most_looks}, expected a whole number from 0 on")
        self.min_score, self.longest_side, self.most_looks = min_score, longest_side, most_looks

    @property
    def settings(self) -> dict[str, Setting]:
        settings: dict[str, Setting] = {"min_score": self.min_score, "longest_side": self.longest_side}
        # Older journals and features, which are continued only with equal settings, do not have a single look.
        return settings if self.most_looks == 1 else settings | {"most_looks": self.most_looks}

    @abstractmethod
    def look(self, image: RGBImage) -> list[Face]:
        """The faces that the network finds in an image of any size, in pixels of the image, from the highest score to
        the lowest."""

    def detect(self, image: RGBImage) -> list[Face]:
        """The faces in a (H, W, 3) uint8 RGB image, from the highest score to the lowest. Raises DataError for anything
        else."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(f"the image is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3), RGB")
        height, width = image.shape[:2]
        small = _shrunk(image, min(1.0, self.longest_side / max(height, width)))
        # Pixel centres: the shrunk sides are whole numbers, the factors of both directions are not quite one.
        unit = np.array([width / small.shape[1], height / small.shape[0]])
        faces = []
        for face in self.look(small):
            landmarks_52 = (face.landmarks_52 + 0.5) * unit - 0.5
            for _ in range(self.most_looks):
                before_52, landmarks_52 = landmarks_52, self._look_again(image, landmarks_52)
                if _degrees_between(before_52, landmarks_52) < _SETTLED:
                    break
            corners_22 = (np.reshape(face.box, (2, 2)) + 0.5) * unit - 0.5
            faces.append(Face(_within(corners_22, width, height), face.score, landmarks_52))
        return faces

    def _look_again(self, image: RGBImage, landmarks_52: NDArray[np.float64]) -> NDArray[np.float64]:
        """Better landmarks from another detection, or the same landmarks if the face is not found again."""
        place = (_LOOK_SIDE - TEMPLATE_SIDE * _LOOK_SCALE) / 2
        target_52 = TEMPLATE_52 * _LOOK_SCALE + place
        try:
            matrix_23 = similarity_transform(landmarks_52, target_52)
        except DataError:  # all landmarks in one point: they cannot be aligned
            return landmarks_52
        again = self.look(warp_square(image, matrix_23, _LOOK_SIDE))
        distances = [float(np.linalg.norm(face.landmarks_52.mean(0) - target_52.mean(0))) for face in again]
        if not distances or min(distances) > _LOOK_SIDE / 8:
            return landmarks_52
        inverse_23 = cv2.invertAffineTransform(matrix_23)
        nearest_52 = again[int(np.argmin(distances))].landmarks_52
        return np.asarray(nearest_52 @ inverse_23[:, :2].T + inverse_23[:, 2])


def _degrees_between(before_52: NDArray[np.float64], after_52: NDArray[np.float64]) -> float:
    """How far the landmarks are turned against each other; 0 if they are all in one point."""
    try:
        matrix_23 = similarity_transform(before_52, after_52)
    except DataError:
        return 0.0
    return abs(float(np.degrees(np.arctan2(matrix_23[1, 0], matrix_23[0, 0]))))


def _shrunk(image: RGBImage, factor: float) -> RGBImage:
    if factor == 1:
        return image
    height, width = image.shape[:2]
    sides = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, sides, interpolation=cv2.INTER_AREA)


def _within(corners_22: NDArray[np.float64], width: int, height: int) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = np.clip(corners_22, 0, (width - 1, height - 1)).tolist()
    return left, top, right, bottom
