"""What can be said of a face's picture without a network: its size, sharpness, noise, light and pose.

Shapes: H × W pixels, 5 landmarks, K pixels of the face.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE, similarity_transform
from facemargin.data.crop import crop_face
from facemargin.data.given_images import GivenForm, one_image
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import RGBImage
from facemargin.errors import DataError
from facemargin.quality.face_pose import face_pose
from facemargin.quality.gate import QualityGate

# Of the aligned face, from the brows to below the mouth, without hair and background.
_TOP, _BOTTOM, _LEFT, _RIGHT = 36, 104, 26, 86
_ALL = np.ones((_BOTTOM - _TOP, _RIGHT - _LEFT), bool)
_GREY = np.array([0.299, 0.587, 0.114])
_SECOND_DIFFERENCES = np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])
# The standard deviations of the Gaussians between which the fine and the next coarser details lie, in pixels of 112.
_FINE, _COARSE = (0.7, 1.4), (1.4, 2.8)
# Rounding to whole grey values leaves details of about this energy in a flat picture.
_ROUNDING = 1 / 12
_BLACK, _WHITE = 2, 253


class Reason(NamedTuple):
    """Why a picture fails: a `code` for programs and `words` for people."""

    code: str
    words: str


@dataclass(frozen=True)
class ImageStatistics:
    """Statistics of a face's picture, measured on the grey values Y = 0.299·R + 0.587·G + 0.114·B of the face aligned
    to 112 × 112 pixels, from the brows to below the mouth (rows 36 to 104, columns 26 to 86). What needs landmarks or
    the detector's score is None without them.

    Examples:
        >>> import facemargin as fm
        >>> statistics = fm.image_statistics(fm.open_images("orl").read(0))
        >>> statistics.reasons(), statistics.quality() > 0, statistics.yaw
        ((), True, None)
    """

    sharpness: float
    """√(F / C): F is the mean square of the details between Gaussians of 0.7 and 1.4 pixels, C of those between 1.4 and
    2.8 pixels (differences of Gaussians), both minus the share that white noise of the measured strength has in them.
    It depends on neither contrast nor brightness. 0 if all of F is noise; 0.6 for most sharp faces."""
    noise: float
    """Standard deviation of the noise in grey values: median |Y ∗ N| / (6 · 0.6745), where
    N = [1 −2 1; −2 4 −2; 1 −2 1] is Immerkær's mask (CVIU 64(2), 1996), which cancels smooth parts and edges. He takes
    the mean of |Y ∗ N|; the median lets fewer details count as noise."""
    brightness: float
    """Mean of Y, from 0 to 255."""
    contrast: float
    """Standard deviation of Y."""
    clipped: float
    """Share of pixels with Y ≤ 2 or Y ≥ 253."""
    eye_distance: float | None = None
    """Distance between the eyes in pixels of the photograph. A face seen from the side has them closer together."""
    yaw: float | None = None
    """Degrees by which the face is turned, positive to the right of the picture (`face_pose`)."""
    pitch: float | None = None
    """Degrees by which the face looks up (positive) or down (negative)."""
    roll: float | None = None
    """Degrees by which the face is tilted, positive if the right eye of the picture is the lower one."""
    detection_score: float | None = None
    """How sure the detector is, from 0 to 1."""

    def reasons(self, gate: QualityGate | None = None) -> tuple[Reason, ...]:
        """Why the picture fails, in a fixed order; empty if it passes. The default gate is `QualityGate()`. The codes
        are too_small, blurred, noisy, too_dark, too_bright, low_contrast, turned_away, looking_up_or_down, tilted and
        uncertain_detection."""
        failed: dict[str, Reason] = {}
        for reason, margin in self._margins(gate or QualityGate()):
            if margin < 0:
                failed.setdefault(reason.code, reason)
        return tuple(failed.values())

    def quality(self, gate: QualityGate | None = None) -> float:
        """The smallest margin to a limit of the gate: below 0 if the picture fails. The margin of x to a smallest value
        L is x/L − 1, to a largest 1 − |x|/L. For scales that end, at a brightness of 255 and a score of 1, it is the
        distance from the limit as a share of that to the end."""
        return min(margin for _, margin in self._margins(gate or QualityGate()))

    def _margins(self, gate: QualityGate) -> Iterator[tuple[Reason, float]]:
        """The margin to every limit, with the reason if it is below 0."""
        if self.eye_distance is not None:
            what = f"{self.eye_distance:.0f} pixels between the eyes"
            yield _least("too_small", what, self.eye_distance, gate.min_eye_distance)
        yield _least("blurred", f"sharpness {self.sharpness:.2f}", self.sharpness, gate.min_sharpness)
        yield _most("noisy", f"noise of {self.noise:.1f} grey values", self.noise, gate.max_noise)
        what = f"brightness {self.brightness:.0f} of 255"
        yield _least("too_dark", what, self.brightness, gate.min_brightness)
        yield _most("too_bright", what, self.brightness, gate.max_brightness, end=255)
        code, end = ("too_bright", "white") if self.brightness > 127.5 else ("too_dark", "black")
        what = f"{100 * self.clipped:.0f} % of the face is {end}"
        yield _most(code, what, self.clipped, gate.max_clipped, f"{100 * gate.max_clipped:g} %")
        yield _least("low_contrast", f"contrast of {self.contrast:.1f} grey values", self.contrast, gate.min_contrast)
        for code, angle, largest in (
            ("turned_away", self.yaw, gate.max_yaw),
            ("looking_up_or_down", self.pitch, gate.max_pitch),
            ("tilted", self.roll, gate.max_roll),
        ):
            if angle is not None:
                way = "" if code != "looking_up_or_down" else " up" if angle > 0 else " down"
                yield _most(code, f"{abs(angle):.0f}°{way}", abs(angle), largest, f"{largest:g}°")
        if self.detection_score is not None:
            what = f"score {self.detection_score:.2f}"
            yield _least("uncertain_detection", what, self.detection_score, gate.min_score, end=1)


def _least(code: str, what: str, value: float, limit: float, end: float | None = None) -> tuple[Reason, float]:
    words = f"{code.replace('_', ' ')}: {what}, expected at least {limit:g}"
    return Reason(code, words), (value - limit) / (limit if end is None else end - limit)


def _most(
    code: str, what: str, value: float, limit: float, shown: str = "", end: float | None = None
) -> tuple[Reason, float]:
    words = f"{code.replace('_', ' ')}: {what}, expected at most {shown or f'{limit:g}'}"
    return Reason(code, words), (limit - value) / (limit if end is None else end - limit)


def image_statistics(
    image: GivenForm, landmarks: ArrayLike | None = None, score: float | None = None
) -> ImageStatistics:
    """Measure a face's picture without a network: what can be said in words before a face is enrolled.

    `image` is a photograph with the `landmarks` (5, 2) of its face in pixels, as `Face.landmarks_52`, and the
    detector's `score`; without landmarks it is taken for an aligned face, whose size and pose are then not known. It
    cannot be told whether there is a face at all: that is the detector's matter.

    Raises DataError if the image cannot be read, unless landmarks are 5 finite points that are not all equal, and for a
    score that is not finite.

    Examples:
        >>> import facemargin as fm
        >>> photograph = fm.open_images("orl").read(0)
        >>> (face,) = fm.detect(photograph)
        >>> statistics = fm.image_statistics(photograph, face.landmarks_52, face.score)
        >>> abs(statistics.yaw) < 30, statistics.noise < 6
        (True, True)
    """
    if score is not None and not np.isfinite(score):
        raise DataError(f"the detector's score is {score}, expected a finite number")
    image = one_image(image)
    if landmarks is None:
        return ImageStatistics(**_pixel_statistics(resize_square(image, TEMPLATE_SIDE), _ALL), detection_score=score)
    points_52 = np.asarray(landmarks, dtype=np.float64)
    pose = face_pose(points_52)
    aligned = crop_face(image, points_52)
    return ImageStatistics(
        **_pixel_statistics(aligned, _inside(image, points_52)),
        eye_distance=float(np.linalg.norm(points_52[1] - points_52[0])),
        **pose._asdict(),
        detection_score=score,
    )


def _pixel_statistics(aligned: RGBImage, known: NDArray[np.bool_]) -> dict[str, float]:
    """`known` tells the pixels of the face, (68, 60), that the photograph shows."""
    region = slice(_TOP, _BOTTOM), slice(_LEFT, _RIGHT)
    grey = aligned @ _GREY
    grey_K = grey[region][known]
    second = cv2.filter2D(grey, -1, _SECOND_DIFFERENCES)
    noise = float(np.median(np.abs(second[region][known]))) / (6 * 0.6745)
    fine, coarse = (
        max(0.0, float(np.mean(_details(grey, band)[region][known] ** 2)) - _noise_gain(band) * noise**2)
        for band in (_FINE, _COARSE)
    )
    return {
        "sharpness": float(np.sqrt(fine / max(coarse, _ROUNDING))),
        "noise": noise,
        "brightness": float(grey_K.mean()),
        "contrast": float(grey_K.std()),
        "clipped": float(np.mean((grey_K <= _BLACK) | (grey_K >= _WHITE))),
    }


def _details(grey: NDArray[Any], band: tuple[float, float]) -> NDArray[Any]:
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), deviation) for deviation in band)
    return fine - coarse


def _noise_gain(band: tuple[float, float]) -> float:
    """The mean square that white noise of standard deviation 1 has in a band."""
    impulse = np.zeros((65, 65))
    impulse[32, 32] = 1
    return float((_details(impulse, band) ** 2).sum())


def _inside(image: RGBImage, points_52: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which pixels of the face (68, 60) lie within the photograph; those beyond it are black in the aligned face."""
    inverse_23 = cv2.invertAffineTransform(similarity_transform(points_52, TEMPLATE_52))
    y, x = np.mgrid[_TOP:_BOTTOM, _LEFT:_RIGHT]
    source = np.stack([x, y], axis=-1) @ inverse_23[:, :2].T + inverse_23[:, 2]
    height, width = image.shape[:2]
    inside: NDArray[np.bool_] = np.all((source >= 0) & (source <= (width - 1, height - 1)), axis=-1)
    if not inside.any():
        raise DataError(
            f"the landmarks lie outside the image of {width} × {height} pixels: {points_52.round().tolist()}"
        )
    return inside
