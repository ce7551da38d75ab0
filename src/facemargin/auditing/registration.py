"""Whether two pictures are copies of one photograph: they are laid over each other, and their grey values compared.

A copy that was encoded again, scaled, brightened, mirrored, or cut and aligned anew fits after an affine movement; two
photographs of one person do not. Shapes: S × S grey values.
"""

from collections import OrderedDict
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource, RGBImage

_SIDE = 56
_BLUR = 5
_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
_KEPT = 4096
# Below this, not even roughly laid over each other, pictures are not copies that a small movement brings together.
_HOPELESS = 0.85
# The correlation of what does not fit after a movement that is possible for a copy.
_UNFIT = 0.9
_SCALES = (0.8, 0.9, 1.0, 1.11, 1.25)
_MIDDLE = 32

Gray = NDArray[Any]


class Registration:
    """`alike(i, j)` of the pictures of `images`: the correlation of their grey values after the best affine movement,
    −1 to 1, and whether one of them is mirrored. Pictures are kept for a while, as they are compared several times."""

    def __init__(self, images: ImageSource) -> None:
        self._images = images
        self._grays: OrderedDict[int, Gray] = OrderedDict()

    def alike(self, first: int, second: int) -> tuple[float, bool]:
        """Of images `first` and `second`. Raises CorruptImageError if one cannot be read."""
        return correlation(self._gray(first), self._gray(second))

    def _gray(self, index: int) -> Gray:
        if index in self._grays:
            self._grays.move_to_end(index)
        else:
            self._grays[index] = small_gray(self._images.read(index))
            if len(self._grays) > _KEPT:
                self._grays.popitem(last=False)
        return self._grays[index]


def small_gray(image: RGBImage) -> Gray:
    """Smoothed grey values, (S, S) float32."""
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(gray, (0, 0), 1.0).astype(np.float32)


def correlation(first: Gray, second: Gray) -> tuple[float, bool]:
    """(correlation after the best affine movement, whether one is mirrored), by ECC (Evangelidis & Psarakis, PAMI
    2008), which starts where the middle of the second picture, a little smaller or larger, fits the first best."""
    starts = [(*_start(first, turned), turned) for turned in (second, np.ascontiguousarray(second[:, ::-1]))]
    is_mirrored = starts[1][0] > starts[0][0]
    before, movement, turned = starts[is_mirrored]
    if before < _HOPELESS:
        return before, is_mirrored
    try:
        after, moved = cv2.findTransformECC(  # type: ignore[call-overload]  # the mask may be None
            first, turned, movement, cv2.MOTION_AFFINE, _STEPS, None, _BLUR
        )
    except cv2.error:  # it does not converge: nothing fits
        return min(before, _UNFIT), is_mirrored
    return (float(after) if _is_small(moved) else min(before, _UNFIT)), is_mirrored


def _is_small(movement: Gray) -> bool:
    """Whether a copy may have been moved so far: else a small part is compared that is drawn out to fit."""
    scales = np.linalg.svd(movement[:, :2], compute_uv=False)
    middle = np.array([_SIDE / 2, _SIDE / 2])
    shift = movement[:, :2] @ middle + movement[:, 2] - middle
    return bool(scales.max() < 1.4 and scales.min() > 1 / 1.4 and np.abs(shift).max() < 0.2 * _SIDE)


def _start(first: Gray, second: Gray) -> tuple[float, Gray]:
    """(correlation, affine movement from the first to the second) of the best place of the second's middle."""
    best, movement = -1.0, np.eye(2, 3, dtype=np.float32)
    for scale in _SCALES:
        side = round(_SIDE * scale)
        scaled = cv2.resize(second, (side, side), interpolation=cv2.INTER_AREA)
        cut = (side - _MIDDLE) // 2
        found = cv2.matchTemplate(first, scaled[cut : cut + _MIDDLE, cut : cut + _MIDDLE], cv2.TM_CCOEFF_NORMED)
        _, value, _, (x, y) = cv2.minMaxLoc(found)
        if value > best:
            back = _SIDE / side
            best = float(value)
            movement = np.array([[back, 0, back * (cut - x)], [0, back, back * (cut - y)]], np.float32)
    return best, movement
