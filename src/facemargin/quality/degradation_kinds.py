"""Single kinds of degradation, each on a scale of strengths from 0 (the image as it is) to 1.

Lengths are relative to the image's longer side, so that a strength means the same at every size. Images are (H, W, 3)
uint8 RGB.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.images.decode import decode_image
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import ConfigError
from facemargin.randomness import Purpose, sample_generator
from facemargin.registry import unknown_name

LARGEST_BLUR = 5 / 112
"""Standard deviation of the blur at strength 1, relative to the longer side: 5 pixels of 112."""
LARGEST_SHRINKAGE = 10.0
"""How many times smaller the image is at strength 1: 11 pixels instead of 112."""
LARGEST_NOISE = 50.0
"""Standard deviation of the noise at strength 1, in grey values of 255."""
JPEG_QUALITIES = 90, 2
"""libjpeg's quality just above strength 0 and at strength 1."""
LARGEST_OCCLUSION = 0.5
"""Share of the area that is hidden at strength 1."""
LARGEST_EXPOSURE = 4.0
"""How many stops too dark or too bright the image is at strength 1: a 16th of the light, or 16 times as much."""
GAMMA = 2.2
"""Grey values are light to the power of 1/2.2."""


def occlude(image: RGBImage, strength: float, generator: Generator) -> RGBImage:
    """Hide `strength` · 50 % of the image behind a rectangle of one colour with the image's proportions. Place and
    colour are uniformly random. A larger strength hides more around the same place."""
    place_y, place_x = generator.random(2)
    color = generator.integers(0, 256, 3, dtype=np.uint8)
    height, width = image.shape[:2]
    side = np.sqrt(strength * LARGEST_OCCLUSION)
    hidden = image.copy()
    rows, columns = (
        slice(round(p * (1 - side) * n), round((p * (1 - side) + side) * n))
        for p, n in ((place_y, height), (place_x, width))
    )
    hidden[rows, columns] = color
    return hidden


def blur(image: RGBImage, strength: float, _: Generator) -> RGBImage:
    """Gaussian blur with a standard deviation of `strength` · 5/112 of the longer side."""
    deviation = strength * LARGEST_BLUR * max(image.shape[:2])
    return cv2.GaussianBlur(image, (0, 0), deviation) if deviation > 0 else image.copy()


def downscale(image: RGBImage, strength: float, _: Generator) -> RGBImage:
    """Shrink the image by a factor of 10^`strength` (averaging areas) and enlarge it again (bicubic)."""
    height, width = image.shape[:2]
    shrinkage = LARGEST_SHRINKAGE**strength
    small_size = max(1, round(width / shrinkage)), max(1, round(height / shrinkage))
    small = cv2.resize(image, small_size, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def expose(image: RGBImage, strength: float, generator: Generator) -> RGBImage:
    """Too dark or too bright, at random, by `strength` · 4 stops: the light is halved or doubled with every stop, and
    what is brighter than white stays white."""
    too_bright = generator.random() < 0.5
    stops = strength * LARGEST_EXPOSURE * (1 if too_bright else -1)
    exposed: RGBImage = np.clip(np.rint(image * 2.0 ** (stops / GAMMA)), 0, 255).astype(np.uint8)
    return exposed


def add_noise(image: RGBImage, strength: float, generator: Generator) -> RGBImage:
    """Gaussian noise, independent in every value, with a standard deviation of `strength` · 50 grey values."""
    noisy = image + strength * LARGEST_NOISE * generator.standard_normal(image.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def compress(image: RGBImage, strength: float, _: Generator) -> RGBImage:
    """JPEG of a quality from 90 down to 2: equal steps of strength multiply libjpeg's quantisation by the same
    factor."""
    if strength == 0:
        return image.copy()
    finest, coarsest = (_quantization(quality) for quality in JPEG_QUALITIES)
    quantization = finest ** (1 - strength) * coarsest**strength
    quality = 5000 / quantization if quantization > 100 else (200 - quantization) / 2
    image_bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    encoded = np.asarray(cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1])
    return decode_image(encoded.tobytes(), "a degraded image")


def _quantization(quality: float) -> float:
    """The percentage by which libjpeg multiplies its quantisation tables at a quality."""
    return 5000 / quality if quality < 50 else 200 - 2 * quality


KINDS: dict[str, Callable[[RGBImage, float, Generator], RGBImage]] = {
    "occlusion": occlude,
    "blur": blur,
    "downscale": downscale,
    "brightness": expose,
    "noise": add_noise,
    "jpeg": compress,
}
"""In the order in which they happen to a picture: in the scene, the lens, the exposure, the sensor and the file."""

_STREAMS = {"occlusion": 0, "blur": 1, "downscale": 2, "noise": 3, "jpeg": 4, "brightness": 5}
"""The stream of random numbers of each kind, which must never change."""


def degrade_by_kind(image: RGBImage, kind: str, strength: float, seed: int, index: int) -> RGBImage:
    """The image degraded by one kind. The random numbers depend on (seed, kind, index) only."""
    generator = sample_generator(seed, _STREAMS[kind], index, Purpose.DEGRADED_KIND)
    return KINDS[kind](image, strength, generator)


class DegradedByKinds(ImageSource):
    """`source` with every image degraded by all `kinds` at the same strength. The order of `kinds` does not matter.

    The random numbers depend on (seed, kind, index) only, so that a rectangle stays in place when other kinds or the
    strength change. Raises ConfigError for unknown kinds, for no kinds, and for a strength outside 0 to 1.
    """

    def __init__(self, source: ImageSource, kinds: Sequence[str], strength: float, seed: int) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise ConfigError(unknown_name("kind of degradation", unknown[0], KINDS))
        if not kinds or len(set(kinds)) != len(kinds):
            raise ConfigError(
                f"kinds of degradation: {', '.join(kinds) or 'none'}; expected one or more, each once, of "
                f"{', '.join(KINDS)}"
            )
        if not 0 <= strength <= 1:
            raise ConfigError(f"degradation strength is {strength}, expected a number from 0 to 1")
        self.name = f"{source.name} ({', '.join(kinds)} {strength:g})"
        self._source, self.threadsafe = source, source.threadsafe
        self.squashing_told = source.squashing_told
        self._kinds = [kind for kind in KINDS if kind in kinds]
        self._strength = strength
        self._seed = seed

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        image = self._source.read(index)
        for kind in self._kinds:
            image = degrade_by_kind(image, kind, self._strength, self._seed, index)
        return image

    def describe(self, index: int) -> str:
        return f"{self._source.describe(index)} (degraded)"
