"""Augmentations that move or hide pixels: drawn for an image of shape (H, W), and applied to it with OpenCV.

Images are contiguous (H, W, 3) uint8 RGB and are changed in place. Black (0) is −1 in the input of a network.
"""

import math

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.augmentation.draws import Affine, Erasing, Rectangle
from facemargin.data.source import RGBImage

_BLACK = (0, 0, 0)
_ERASING_ASPECT = (0.3, 3.3)
_RECTANGLE_TRIES = 10


def flip(image: RGBImage, happens: bool) -> None:
    """Mirror the image."""
    cv2.flip(image, 1, dst=image)


def draw_affine(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> Affine:
    """Draw shear, rotation and scale about the centre, followed by a shift."""
    height, width = shape
    ranges = config.rotation, config.translation, config.translation, config.shear
    rotation, shift_x, shift_y, shear = generator.uniform(-1, 1, size=4) * ranges
    center = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(center, rotation, generator.uniform(*config.scale))
    shear_about_center = np.array([[1, shear, -shear * center[1]], [0, 1, 0], [0, 0, 1]])
    matrix = matrix @ shear_about_center
    shift = np.array([shift_x * width, shift_y * height])
    matrix[:, 2] += np.rint(shift) if config.whole_pixel_shifts else shift
    return Affine(tuple(matrix.ravel().tolist()), config.border, config.affine_interpolation)


def affine(image: RGBImage, draw: Affine) -> None:
    """Move every pixel by the matrix."""
    height, width = image.shape[:2]
    flags = cv2.INTER_NEAREST if draw.interpolation == "nearest" else cv2.INTER_LINEAR
    matrix = np.array(draw.matrix).reshape(2, 3)
    border = cv2.BORDER_REPLICATE if draw.border == "repeat" else cv2.BORDER_CONSTANT
    image[:] = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=border, borderValue=_BLACK)


def draw_erasing(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> Erasing:
    """Draw the rectangle to hide and its colour (Zhong et al., "Random erasing data augmentation", AAAI 2020)."""
    rectangle = _random_rectangle(shape, config.erasing_area, _ERASING_ASPECT, generator)
    return Erasing(rectangle, int(generator.integers(256)) if config.erasing_fill == "grey" else 0)


def erasing(image: RGBImage, draw: Erasing) -> None:
    """Hide a rectangle."""
    hidden = draw.rectangle
    image[hidden.top : hidden.bottom, hidden.left : hidden.right] = draw.gray


def draw_crop(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> Rectangle:
    """Draw the rectangle to keep."""
    return _random_rectangle(shape, config.crop_area, config.crop_aspect, generator)


def crop(image: RGBImage, kept: Rectangle) -> None:
    """Make everything black except the rectangle, which stays in its place."""
    image[: kept.top] = image[kept.bottom :] = 0
    image[kept.top : kept.bottom, : kept.left] = image[kept.top : kept.bottom, kept.right :] = 0


def _random_rectangle(
    shape: tuple[int, int], area: tuple[float, float], aspect: tuple[float, float], generator: Generator
) -> Rectangle:
    """Draw a rectangle inside the image. Its share of the area is uniform, its width / height log-uniform.

    A rectangle that does not fit is drawn again, up to ten times. After that, the last one is cut to the image.
    """
    image_height, image_width = shape
    log_aspect = math.log(aspect[0]), math.log(aspect[1])
    for _ in range(_RECTANGLE_TRIES):
        pixels = generator.uniform(*area) * image_height * image_width
        ratio = math.exp(generator.uniform(*log_aspect))
        height, width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if height <= image_height and width <= image_width:
            break
    height, width = min(height, image_height), min(width, image_width)
    top = int(generator.integers(image_height - height + 1))
    left = int(generator.integers(image_width - width + 1))
    return Rectangle(top, top + height, left, left + width)
