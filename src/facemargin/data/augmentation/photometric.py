"""Augmentations that change colours and sharpness: drawn for an image of shape (H, W), and applied with OpenCV.

Images are contiguous (H, W, 3) uint8 RGB and are changed in place.
"""

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.augmentation.draws import ColorJitter, LowResolution, Noise
from facemargin.data.images.interpolation import resize
from facemargin.data.source import RGBImage

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
"""The numbers of the colour jitter's steps in its drawn order."""
MID_GRAY = 127.5
_GRAY_VALUES = np.arange(256, dtype=np.float64)


def draw_color_jitter(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> ColorJitter:
    """Draw the changes of brightness, contrast, saturation and hue, and their order."""
    spreads = (config.brightness, config.contrast, config.saturation)
    factors = np.maximum(0.0, 1 + generator.uniform(-1, 1, size=3) * spreads)
    brightness, contrast, saturation = factors.tolist()
    turn = config.hue * generator.uniform(-1, 1)
    order = tuple(generator.permutation(4).tolist())
    return ColorJitter(brightness, contrast, saturation, round(turn * 256) % 256, order)


def color_jitter(image: RGBImage, draw: ColorJitter) -> None:
    """Change brightness, contrast, saturation and hue in the drawn order."""
    for step in draw.order:
        if step == BRIGHTNESS:
            _linear(image, draw.brightness, 0.0)
        elif step == CONTRAST:
            mean = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0]
            _linear(image, draw.contrast, (1 - draw.contrast) * mean)
        elif step == SATURATION:
            gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
            cv2.addWeighted(image, draw.saturation, gray, 1 - draw.saturation, 0, dst=image)
        # The conversion to HSV and back loses precision, so it is skipped if the hue does not turn.
        elif draw.hue_steps:
            _turn_hue(image, draw.hue_steps)


def grayscale(image: RGBImage, happens: bool) -> None:
    """Replace the three channels by the luma (ITU-R BT.601)."""
    cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB, dst=image)


def draw_blur(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> float:
    """Draw the standard deviation in pixels."""
    return float(generator.uniform(*config.blur_sigma) * shape[0])


def blur(image: RGBImage, sigma: float) -> None:
    """Convolve with a Gaussian."""
    cv2.GaussianBlur(image, (0, 0), sigma, dst=image)


def draw_noise(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> Noise:
    """Draw the kind of noise and its share, without its pixels."""
    share = float(generator.uniform(*config.noise_share))
    return Noise(share, normal=bool(generator.random() >= 0.5))


def noise_pixels(shape: tuple[int, int], draw: Noise, generator: Generator) -> RGBImage:
    """Draw the noise (H, W, 3): uint8, uniform over all grey values, or float32, standard normal."""
    if draw.normal:
        return generator.standard_normal((*shape, 3), dtype=np.float32)
    return np.frombuffer(generator.bytes(shape[0] * shape[1] * 3), dtype=np.uint8).reshape(*shape, 3)


def noise(image: RGBImage, draw: Noise, pixels: RGBImage) -> None:
    """(1 − a)·image + a·noise. If pixels are scaled to [−1, 1], the noise is uniform in [−1, 1] or standard normal."""
    share = draw.share
    if not draw.normal:
        cv2.addWeighted(image, 1 - share, pixels, share, 0, dst=image)
    else:
        # Normal noise may exceed the grey values; only the blended image is clipped to them.
        cv2.addWeighted(image, 1 - share, pixels, share * MID_GRAY, share * MID_GRAY, dst=image, dtype=cv2.CV_8U)


def draw_low_resolution(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> LowResolution:
    """Draw the small size and the two interpolations."""
    factor = generator.uniform(*config.low_resolution_side)
    names = config.low_resolution_interpolations
    once = config.low_resolution_draws == "once"
    drawn = generator.integers(len(names), size=1 if once else 2).tolist()
    height, width = (max(1, round(side * factor)) for side in shape)
    return LowResolution(height, width, shrink=names[drawn[0]], enlarge=names[drawn[-1]])


def low_resolution(image: RGBImage, draw: LowResolution) -> None:
    """Shrink the image and enlarge it again."""
    height, width = image.shape[:2]
    image[:] = resize(resize(image, draw.height, draw.width, draw.shrink), height, width, draw.enlarge)


def _linear(image: RGBImage, factor: float, offset: float) -> None:
    """factor·v + offset, clipped: a table of 256 values is faster than arithmetic on pixels."""
    cv2.LUT(image, np.clip(np.rint(_GRAY_VALUES * factor + offset), 0, 255).astype(np.uint8), dst=image)


def _turn_hue(image: RGBImage, steps: int) -> None:
    """Turn the hue, which is stored in 256 steps, so that uint8 wraps around."""
    image_hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    image_hsv[..., 0] += np.uint8(steps)
    cv2.cvtColor(image_hsv, cv2.COLOR_HSV2RGB_FULL, dst=image)
