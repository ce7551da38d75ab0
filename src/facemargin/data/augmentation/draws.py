"""What was drawn for one sample: which augmentations happen to it, and with what parameters.

Numbers only, no pixels: a sample's draws travel with its batch from the worker that drew them to the device that
applies them. Lengths are in pixels of the image they were drawn for.
"""

from dataclasses import dataclass
from typing import Literal

from facemargin.data.augmentation.config import PROBABILITIES, Interpolation, Step


@dataclass(frozen=True)
class Rectangle:
    """Rows `top` to `bottom` and columns `left` to `right`, the ends left out."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class ColorJitter:
    """Factors of brightness, contrast and saturation; the hue turns by `hue_steps` 256ths of the circle, 0 to 255.

    `order` is the order of the four, by their numbers 0 to 3.
    """

    brightness: float
    contrast: float
    saturation: float
    hue_steps: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Affine:
    """(x, y) goes to (a·x + b·y + c, d·x + e·y + f), `matrix` being (a, b, c, d, e, f); pixel centres are integers."""

    matrix: tuple[float, ...]
    border: Literal["black", "repeat"]
    interpolation: Literal["bilinear", "nearest"] = "bilinear"


@dataclass(frozen=True)
class Noise:
    """(1 − share)·image + share·noise, the noise uniform over the grey values or, if `normal`, around mid-grey.

    `seed`, 0 to 2⁶³ − 1, is of the noise that a device makes by itself (see seeded_noise.py).
    """

    share: float
    normal: bool
    seed: int = 0


@dataclass(frozen=True)
class Erasing:
    """A rectangle filled with the grey value `gray`."""

    rectangle: Rectangle
    gray: int


@dataclass(frozen=True)
class LowResolution:
    """Shrunk to `height` × `width` and enlarged again, each with an interpolation."""

    height: int
    width: int
    shrink: Interpolation
    enlarge: Interpolation


@dataclass(frozen=True)
class AugmentationDraws:
    """One sample's draws, a field per augmentation, applied in `order`; False and None: it does not happen.

    `blur` is the standard deviation, `crop` the rectangle that stays.
    """

    flip: bool = False
    color_jitter: ColorJitter | None = None
    affine: Affine | None = None
    grayscale: bool = False
    blur: float | None = None
    noise: Noise | None = None
    erasing: Erasing | None = None
    low_resolution: LowResolution | None = None
    crop: Rectangle | None = None
    order: tuple[Step, ...] = PROBABILITIES
