"""Augmentations that change colours and sharpness. Images are (H, W, 3) uint8 RGB."""

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.augmentation_config import AugmentationConfig
from facemargin.data.source import RGBImage

_GREY_VALUES = np.arange(256, dtype=np.float32)
_MID_GREY = 127.5
_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def color_jitter(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Brightness, contrast, saturation and hue changed by random amounts in random order."""
    spreads = (config.brightness, config.contrast, config.saturation)
    brightness, contrast, saturation = np.maximum(0.0, 1 + generator.uniform(-1, 1, size=3) * spreads)
    turn = config.hue * generator.uniform(-1, 1)
    for step in generator.permutation(4):
        if step == 0:
            image = _linear(image, brightness, 0.0)
        elif step == 1:
            mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            image = _linear(image, contrast, (1 - contrast) * mean)
        elif step == 2:
            image = cv2.addWeighted(image, saturation, _grey(image), 1 - saturation, 0)
        else:
            image = _turn_hue(image, turn)
    return image


def grayscale(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Three equal channels of luma (ITU-R BT.601)."""
    return _grey(image)


def blur(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Convolved with a Gaussian."""
    return cv2.GaussianBlur(image, (0, 0), generator.uniform(*config.blur_sigma) * image.shape[0])


def noise(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """(1 − a)·image + a·noise; in units where pixels are in [−1, 1] the noise is uniform there, or standard normal."""
    share = generator.uniform(*config.noise_share)
    if generator.random() < 0.5:
        grey = np.frombuffer(generator.bytes(image.size), dtype=np.uint8).reshape(image.shape)
        return cv2.addWeighted(image, 1 - share, grey, share, 0)
    normal = generator.standard_normal(image.shape, dtype=np.float32)
    # The normal noise reaches beyond the grey values: only the blend is clipped to them.
    return cv2.addWeighted(image, 1 - share, normal, share * _MID_GREY, share * _MID_GREY, dtype=cv2.CV_8U)


def low_resolution(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """Shrunk to a random size and enlarged again, each with an interpolation of its own."""
    height, width = image.shape[:2]
    factor = generator.uniform(*config.low_resolution_side)
    shrink, enlarge = generator.choice(_INTERPOLATIONS, size=2)
    small = cv2.resize(
        image, (max(1, round(width * factor)), max(1, round(height * factor))), interpolation=int(shrink)
    )
    return cv2.resize(small, (width, height), interpolation=int(enlarge))


def _grey(image: RGBImage) -> RGBImage:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def _linear(image: RGBImage, factor: float, offset: float) -> RGBImage:
    """factor·v + offset, clipped: a table of 256 values is faster than arithmetic on pixels."""
    return cv2.LUT(image, np.clip(np.rint(_GREY_VALUES * factor + offset), 0, 255).astype(np.uint8))


def _turn_hue(image: RGBImage, turn: float) -> RGBImage:
    """The hue turned by a fraction of the circle, which uint8 stores in 256 steps and wraps around."""
    image_hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    image_hsv[..., 0] += np.uint8(round(turn * 256) % 256)
    return cv2.cvtColor(image_hsv, cv2.COLOR_HSV2RGB_FULL)
