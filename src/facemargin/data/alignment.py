"""Aligns a face by its five landmarks, in the way that recognisers are trained with.

Shapes: P points (x, y), H × W pixels.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.data.source import RGBImage
from facemargin.errors import DataError

TEMPLATE_SIDE = 112

TEMPLATE_52: NDArray[np.float64] = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
"""Left eye, right eye, nose, left and right corner of the mouth in an image of 112 × 112 pixels. Left means left in the
picture."""


def align_face(image: RGBImage, landmarks_52: ArrayLike, size: int = TEMPLATE_SIDE) -> RGBImage:
    """The aligned face as (size, size, 3) uint8. The image is warped by the similarity transform that moves the
    landmarks as close as possible to `TEMPLATE_52`, with bilinear interpolation, and black outside the image.

    `landmarks_52` are points (x, y) in pixels, in the order of the template. Raises DataError unless the landmarks are
    5 finite points that are not all equal, and for an image that OpenCV cannot warp.
    """
    matrix_23 = similarity_transform(landmarks_52, TEMPLATE_52 * (size / TEMPLATE_SIDE))
    try:
        return cv2.warpAffine(image, matrix_23, (size, size), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))
    except cv2.error as error:
        raise DataError(
            f"an image of {image.shape[1]} × {image.shape[0]} pixels cannot be aligned: {error.err}"
        ) from error


def similarity_transform(source_P2: ArrayLike, target_P2: ArrayLike) -> NDArray[Any]:
    """The 2×3 matrix of the rotation, uniform scale and shift that move `source_P2` as close as possible to
    `target_P2`.

    Least squares without reflection, Umeyama's solution (IEEE TPAMI 13(4), 1991). In the plane it has a closed form:
    with the points as complex numbers z and w minus their means, a = Σ conj(z)·w / Σ |z|² is the rotation and scale.
    Raises DataError for points whose shapes differ, that are not finite, or that are all equal.
    """
    source, target = np.asarray(source_P2, dtype=np.float64), np.asarray(target_P2, dtype=np.float64)
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 2:
        raise DataError(f"landmarks have shape {source.shape}, expected {target.shape}: one (x, y) per point")
    if not np.isfinite(source).all():
        raise DataError(f"landmarks are not finite: {source.round(1).tolist()}")
    z_P, w_P = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    z_mean, w_mean = z_P.mean(), w_P.mean()
    spread = float(np.sum(np.abs(z_P - z_mean) ** 2))
    if not 1e-6 < spread < 1e12:
        raise DataError(
            f"landmarks are all in one point, or too far away to be in an image: {source.round(1).tolist()}"
        )
    a = np.sum(np.conj(z_P - z_mean) * (w_P - w_mean)) / spread
    b = w_mean - a * z_mean
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])
