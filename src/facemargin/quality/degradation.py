"""Degrades face images by a known amount, which a good measure of quality must detect.

Images are (H, W, 3) uint8 RGB.
"""

from dataclasses import replace

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import ConfigError
from facemargin.randomness import Purpose, sample_generator

LARGEST_SIDE, SMALLEST_SIDE = 32, 16
LARGEST_BLUR = 1.0
LARGEST_NOISE = 15.0


def degrade(image: RGBImage, generator: Generator, strength: float) -> RGBImage:
    """The face as a poor camera records it, with the size of `image`. `strength` is from 0 to 1.

    Its longer side is shrunk to 32 (strength 0) down to 16 pixels (1). There it is blurred, with a standard deviation
    of up to 1 pixel, and Gaussian noise of up to 15 grey values, drawn from `generator`, is added. Then it is enlarged
    again. Raises ConfigError for another strength.
    """
    if not 0 <= strength <= 1:
        raise ConfigError(f"degradation strength is {strength}, expected a number from 0 to 1")
    height, width = image.shape[:2]
    shrink = min(1.0, (LARGEST_SIDE + strength * (SMALLEST_SIDE - LARGEST_SIDE)) / max(height, width))
    small_size = max(1, round(width * shrink)), max(1, round(height * shrink))
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    if strength > 0:
        small = cv2.GaussianBlur(small, (0, 0), strength * LARGEST_BLUR)
    noisy = small + generator.normal(0.0, strength * LARGEST_NOISE, small.shape)
    whole: RGBImage = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    enlarged: RGBImage = cv2.resize(whole, (width, height), interpolation=cv2.INTER_CUBIC)
    return enlarged


class DegradedImages(ImageSource):
    """`source` with every image degraded by its own random strength, uniform in 0..1. `strengths` (N,) holds them.

    Strength and noise depend on (seed, index) only.
    """

    def __init__(self, source: ImageSource, seed: int) -> None:
        self.name = f"{source.name} (degraded)"
        self.strengths = np.array([self._generator(seed, index).random() for index in range(len(source))])
        self._source, self.threadsafe = source, source.threadsafe
        self.squashing_told = source.squashing_told
        self._seed = seed

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        generator = self._generator(self._seed, index)
        strength = generator.random()
        return degrade(self._source.read(index), generator, strength)

    def describe(self, index: int) -> str:
        return f"{self._source.describe(index)} (degraded)"

    @staticmethod
    def _generator(seed: int, index: int) -> Generator:
        return sample_generator(seed, 0, index, Purpose.DEGRADATION)


def degraded_twin(verification_set: VerificationSet, seed: int = 0) -> VerificationSet:
    """The low-quality twin of a verification set: the same pairs, every image degraded by a strength of its own (see
    `DegradedImages`); deterministic in `seed`."""
    images = DegradedImages(verification_set.images, seed)
    return replace(verification_set, name=f"{verification_set.name}-degraded", images=images)
