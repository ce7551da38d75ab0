"""Cuts a face out of a photograph of any size without aliasing. Shapes: H × W pixels."""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE, similarity_transform
from facemargin.data.source import RGBImage

# The margin in pixels that bilinear interpolation may read beyond the corners.
_MARGIN = 2


def crop_face(image: RGBImage, landmarks_52: NDArray[np.float64], size: int = TEMPLATE_SIDE) -> RGBImage:
    """Like `align_face`, but the pixels of a face that shrinks to half its size or less are averaged over areas first,
    because bilinear interpolation alone would skip most of them. Raises DataError for landmarks that are not five
    points."""
    return warp_square(image, similarity_transform(landmarks_52, TEMPLATE_52 * (size / TEMPLATE_SIDE)), size)


def warp_square(image: RGBImage, matrix_23: NDArray[Any], size: int) -> RGBImage:
    """(size, size, 3) uint8: the image under the similarity transform `matrix_23`, black outside it."""
    left, top, right, bottom = _source_region(image, matrix_23, size)
    if left >= right or top >= bottom:
        return np.zeros((size, size, 3), np.uint8)
    region = image[top:bottom, left:right]
    to_region = np.array([[1.0, 0, -left], [0, 1, -top], [0, 0, 1]])
    shrink = int(1 / math.sqrt(abs(np.linalg.det(matrix_23[:, :2]))) + 1e-9)
    if shrink >= 2:
        height, width = region.shape[:2]
        small_height, small_width = math.ceil(height / shrink), math.ceil(width / shrink)
        region = cv2.resize(region, (small_width, small_height), interpolation=cv2.INTER_AREA)
        x, y = small_width / width, small_height / height
        # Pixel centres: (u + ½)·x − ½.
        to_region = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]]) @ to_region
    whole = np.vstack([matrix_23, [0, 0, 1]])
    return cv2.warpAffine(region, (whole @ np.linalg.inv(to_region))[:2], (size, size), flags=cv2.INTER_LINEAR)


def _source_region(image: RGBImage, matrix_23: NDArray[Any], size: int) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the part of the image that the square shows; empty if it shows none of it."""
    inverse_23 = cv2.invertAffineTransform(matrix_23)
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]]) - 0.5
    source = corners @ inverse_23[:, :2].T + inverse_23[:, 2]
    margin = _MARGIN * max(1.0, float(np.abs(inverse_23[:, :2]).max()))
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(source.min(0) - margin), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(source.max(0) + margin) + 1, 0, (width, height)).astype(int)
    return int(left), int(top), int(right), int(bottom)
