"""The draws of one sample: the augmentations that are applied to it, and their parameters.

They are numbers without pixels. A worker draws them, and they are sent with the batch to the device that applies them.
Lengths are in pixels of the image.
"""

from dataclasses import dataclass
from typing import Literal

from facemargin.data.augmentation.config import PROBABILITIES, Interpolation, Step


@dataclass(frozen=True)
class Rectangle:
    """Rows `top` to `bottom` and columns `left` to `right`, without the ends."""

    top: int
    bottom: int
    left: int
    right: int


@dataclass(frozen=True)
class ColorJitter:
    """Factors of brightness, contrast and saturation. The hue turns by `hue_steps`, 0 to 255, in 256ths of the circle.

    `order` is the order of the four changes, given by their numbers 0 to 3.
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
    """(1 − share)·image + share·noise. The noise is uniform over the grey values or, if `normal`, Gaussian around
    mid-grey.

    `seed`, 0 to 2⁶³ − 1, is for noise that the device generates itself (see seeded_noise.py).
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
    """Shrink to `height` × `width` and enlarge again, each with its own interpolation."""

    height: int
    width: int
    shrink: Interpolation
    enlarge: Interpolation


@dataclass(frozen=True)
class AugmentationDraws:
    """The draws of one sample, with one field per augmentation, applied in `order`. False and None mean that it is not
    applied.

    `blur` is the standard deviation, `crop` the rectangle that is kept.
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
