"""The augmentation in one pass, drawing where it applies: the order of draws that trained models depend on.

Images are (H, W, 3) uint8 RGB.
"""

import math

import cv2
import numpy as np

from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from tests.data.resize_reference import reference_resize

OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}


def reference_augment(image: np.ndarray, config: AugmentationConfig, generator: np.random.Generator) -> np.ndarray:
    draws = dict(zip(PROBABILITIES, generator.random(9), strict=True))
    for name in config.order:
        if draws[name] < getattr(config, name):
            image = globals()[f"_{name}"](image, config, generator)
    return image


def _flip(image, config, generator):
    return image[:, ::-1].copy()


def _color_jitter(image, config, generator):
    factors = 1 + generator.uniform(-1, 1, size=3) * (config.brightness, config.contrast, config.saturation)
    brightness, contrast, saturation = np.maximum(0.0, factors)
    turn = config.hue * generator.uniform(-1, 1)
    values = np.arange(256.0)
    for step in generator.permutation(4):
        if step == 0:
            image = np.clip(np.rint(values * brightness), 0, 255).astype(np.uint8)[image]
        elif step == 1:
            mean = _grayscale(image, config, generator)[..., 0].mean()
            image = np.clip(np.rint(values * contrast + (1 - contrast) * mean), 0, 255).astype(np.uint8)[image]
        elif step == 2:
            image = cv2.addWeighted(image, saturation, _grayscale(image, config, generator), 1 - saturation, 0)
        elif round(turn * 256):
            image_hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
            image_hsv[..., 0] = (image_hsv[..., 0].astype(int) + round(turn * 256)) % 256
            image = cv2.cvtColor(image_hsv, cv2.COLOR_HSV2RGB_FULL)
    return image


def _affine(image, config, generator):
    height, width = image.shape[:2]
    rotation, shift_x, shift_y, shear = generator.uniform(-1, 1, size=4) * (
        config.rotation, config.translation, config.translation, config.shear,
    )  # fmt: skip
    center = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(center, rotation, generator.uniform(*config.scale))
    matrix = matrix @ np.array([[1, shear, -shear * center[1]], [0, 1, 0], [0, 0, 1]])
    shift = shift_x * width, shift_y * height
    matrix[:, 2] += [round(one) for one in shift] if config.whole_pixel_shifts else shift
    if config.affine_interpolation == "nearest":
        return _nearest(image, matrix, config.border)
    border = {"repeat": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}[config.border]
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border)


def _nearest(image, matrix, border):
    """Pixel by pixel: from the place that the inverse sends it to."""
    height, width = image.shape[:2]
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    moved = np.zeros_like(image)
    for y in range(height):
        for x in range(width):
            column, row, _ = (round(float(one)) for one in inverse @ (x, y, 1))
            if border == "repeat":
                column, row = min(max(column, 0), width - 1), min(max(row, 0), height - 1)
            if 0 <= column < width and 0 <= row < height:
                moved[y, x] = image[row, column]
    return moved


def _grayscale(image, config, generator):
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def _blur(image, config, generator):
    return cv2.GaussianBlur(image, (0, 0), generator.uniform(*config.blur_sigma) * image.shape[0])


def _noise(image, config, generator):
    share = generator.uniform(*config.noise_share)
    if generator.random() < 0.5:
        gray = np.frombuffer(generator.bytes(image.size), dtype=np.uint8).reshape(image.shape)
        return cv2.addWeighted(image, 1 - share, gray, share, 0)
    normal = generator.standard_normal(image.shape, dtype=np.float32)
    return cv2.addWeighted(image, 1 - share, normal, share * 127.5, share * 127.5, dtype=cv2.CV_8U)


def _erasing(image, config, generator):
    top, left, height, width = _rectangle(image, config.erasing_area, (0.3, 3.3), generator)
    erased = image.copy()
    erased[top : top + height, left : left + width] = generator.integers(256) if config.erasing_fill == "grey" else 0
    return erased


def _low_resolution(image, config, generator):
    height, width = image.shape[:2]
    factor = generator.uniform(*config.low_resolution_side)
    names = config.low_resolution_interpolations
    if config.low_resolution_draws == "once":
        shrink = enlarge = generator.choice(names)
    else:
        shrink, enlarge = generator.choice(names, size=2)
    small = _resize(image, max(1, round(height * factor)), max(1, round(width * factor)), shrink)
    return _resize(small, height, width, enlarge)


def _resize(image, height, width, name):
    if name in OPENCV:
        return cv2.resize(image, (width, height), interpolation=OPENCV[name])
    return reference_resize(image, height, width, name)


def _crop(image, config, generator):
    top, left, height, width = _rectangle(image, config.crop_area, config.crop_aspect, generator)
    canvas = np.zeros_like(image)
    canvas[top : top + height, left : left + width] = image[top : top + height, left : left + width]
    return canvas


def _rectangle(image, area, aspect, generator):
    for _ in range(10):
        pixels = generator.uniform(*area) * image.shape[0] * image.shape[1]
        ratio = math.exp(generator.uniform(math.log(aspect[0]), math.log(aspect[1])))
        height, width = round(math.sqrt(pixels / ratio)), round(math.sqrt(pixels * ratio))
        if height <= image.shape[0] and width <= image.shape[1]:
            break
    height, width = min(height, image.shape[0]), min(width, image.shape[1])
    top = generator.integers(image.shape[0] - height + 1)
    return top, generator.integers(image.shape[1] - width + 1), height, width
