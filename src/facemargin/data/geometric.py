"""Augmentations that move or hide pixels. Images are (H, W, 3) uint8 RGB; black (0) is −1 in a network's units."""

import math

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.augmentation_config import AugmentationConfig
from facemargin.data.source import RGBImage

_BLACK = (0, 0, 0)
_ERASING_ASPECT = (0.3, 3.3)
_RECTANGLE_TRIES = 10


def flip(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """The mirror image."""
    return cv2.flip(image, 1)


def affine(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Sheared, rotated and scaled about the centre, then shifted; bilinear."""
    height, width = image.shape[:2]
    ranges = config.rotation, config.translation, config.translation, config.shear
    rotation, shift_x, shift_y, shear = generator.uniform(-1, 1, size=4) * ranges
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, rotation, generator.uniform(*config.scale))
    shear_about_centre = np.array([[1, shear, -shear * centre[1]], [0, 1, 0], [0, 0, 1]])
    matrix = matrix @ shear_about_centre
    matrix[:, 2] += shift_x * width, shift_y * height
    border = cv2.BORDER_REPLICATE if config.border == "repeat" else cv2.BORDER_CONSTANT
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border, borderValue=_BLACK)


def erasing(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """A random rectangle hidden (Zhong et al., "Random erasing data augmentation", AAAI 2020)."""
    rows, columns = _random_rectangle(image, config.erasing_area, _ERASING_ASPECT, generator)
    erased = image.copy()
    erased[rows, columns] = generator.integers(256) if config.erasing_fill == "grey" else 0
    return erased


def crop(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Everything but a random rectangle blackened; the rectangle stays where it was."""
    rows, columns = _random_rectangle(image, config.crop_area, config.crop_aspect, generator)
    canvas = np.zeros_like(image)
    canvas[rows, columns] = image[rows, columns]
    return canvas


def _random_rectangle(
    image: RGBImage, area: tuple[float, float], aspect: tuple[float, float], generator: Generator
) -> tuple[slice, slice]:
    """Rows and columns of a rectangle inside the image: its share of the area uniform, its width / height log-uniform.

    Draws that do not fit are drawn again, ten times at most; then the last one is cut to the image.
    """
    image_height, image_width = image.shape[:2]
    log_aspect = math.log(aspect[0]), math.log(aspect[1])
    for _ in range(_RECTANGLE_TRIES):
        pixels = generator.uniform(*area) * image_height * image_width
        ratio = math.exp(generator.uniform(*log_aspect))
        height, width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if height <= image_height and width <= image_width:
            break
    height, width = min(height, image_height), min(width, image_width)
    top, left = generator.integers(image_height - height + 1), generator.integers(image_width - width + 1)
    return slice(top, top + height), slice(left, left + width)
