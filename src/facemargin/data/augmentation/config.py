"""The settings of the augmentations in a recipe: a probability and ranges for each."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

Step = Literal["flip", "color_jitter", "affine", "grayscale", "blur", "noise", "erasing", "low_resolution", "crop"]

Interpolation = Literal[
    "nearest", "bilinear", "area", "bicubic", "lanczos",
    "nearest_exact", "bilinear_antialiased", "bicubic_antialiased",
]  # fmt: skip
"""The names of interpolations; see images/interpolation.py."""

PROBABILITIES: tuple[Step, ...] = get_args(Step)
"""The fields that are probabilities, one per augmentation. By default, augmentations are applied in this order."""


@dataclass(frozen=True)
class AugmentationConfig:
    """Every augmentation is off until its probability is set. The default ranges are those of FunFace (arXiv
    2604.26598).

    Lengths are fractions of the image, so that one recipe means the same at every image size. Raises ConfigError for
    a probability outside 0..1, a range that is not ascending, a name that does not exist, and an order that names an
    augmentation twice or leaves out one that is on.
    """

    order: tuple[Step, ...] = PROBABILITIES
    """The augmentations in the order of their application; those that are off may be left out. The default is
    FunFace's; AdaFace's is crop, low_resolution, color_jitter, flip."""

    flip: float = 0.0
    """Probability of mirroring left to right."""

    color_jitter: float = 0.0
    """Probability of changing brightness, contrast, saturation and hue, in random order."""
    brightness: float = 0.6
    """The brightness is multiplied by a factor drawn from 1 ± this."""
    contrast: float = 0.4
    """Contrast: the difference of colours from the mean grey is multiplied by a factor drawn from 1 ± this."""
    saturation: float = 0.4
    """Saturation: the difference of colours from the grey of their pixel is multiplied by a factor drawn from 1 ±
    this."""
    hue: float = 0.01
    """The hue turns by up to ± this fraction of the colour circle."""

    affine: float = 0.0
    """Probability of a rotation, translation, scaling and shear."""
    rotation: float = 5.0
    """The angle is drawn from ± this number of degrees."""
    translation: float = 0.05
    """Largest shift in each direction, as a fraction of the side."""
    whole_pixel_shifts: bool = False
    """Shifts are rounded to whole pixels, as in FunFace's code."""
    scale: tuple[float, float] = (0.98, 1.02)
    """The image is enlarged by a factor drawn from this range."""
    shear: float = 0.0
    """Shear: rows move sideways by up to ± this number of pixels per row (not in FunFace or AdaFace)."""
    border: Literal["black", "repeat"] = "black"
    """The pixels from outside the image: black, or the pixels of the edge repeated."""
    affine_interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """The value of a pixel whose source position is between pixels: their weighted mean (bilinear), or the nearest of
    them, as in FunFace's code."""

    grayscale: float = 0.0
    """Probability of removing the colour."""

    blur: float = 0.0
    """Probability of a Gaussian blur (not in FunFace or AdaFace)."""
    blur_sigma: tuple[float, float] = (0.005, 0.02)
    """Standard deviation as a fraction of the image's height."""

    noise: float = 0.0
    """Probability of blending with noise, which is uniform over all grey values or Gaussian around mid-grey, with equal
    chance."""
    noise_share: tuple[float, float] = (0.05, 0.2)
    """The share of the noise in the blend."""

    erasing: float = 0.0
    """Probability of hiding a rectangle of aspect ratio 0.3 to 3.3."""
    erasing_area: tuple[float, float] = (0.01, 0.1)
    """The rectangle's share of the image."""
    erasing_fill: Literal["black", "grey"] = "black"
    """The colour of the rectangle: black, as in FunFace, or a random grey, so that dark hair does not look like a
    hidden area."""

    low_resolution: float = 0.0
    """Probability of shrinking the image and enlarging it again."""
    low_resolution_side: tuple[float, float] = (16 / 112, 64 / 112)
    """The small image's side as a fraction of the large one's, rounded to whole pixels: 16 to 64 of 112 pixels, or
    AdaFace's (0.2, 1)."""
    low_resolution_interpolations: tuple[Interpolation, ...] = ("nearest", "bilinear", "area", "bicubic", "lanczos")
    """The interpolations to choose from, with equal chance; one that is listed twice is twice as likely. The default is
    AdaFace's."""
    low_resolution_draws: Literal["each_way", "once"] = "each_way"
    """Whether shrinking and enlarging each draw an interpolation, as in AdaFace, or use the same one, as in FunFace."""

    crop: float = 0.0
    """Probability of making everything black except a rectangle, which stays in its place."""
    crop_area: tuple[float, float] = (0.5, 1.0)
    """The rectangle's share of the image; AdaFace's is (0.2, 1)."""
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """The rectangle's width over its height."""

    def __post_init__(self) -> None:
        for probability in PROBABILITIES:
            value = getattr(self, probability)
            if not 0 <= value <= 1:
                raise ConfigError(f"augmentation {probability} is {value}, expected a probability from 0 to 1")
        for name in ("contrast", "saturation", "brightness", "hue", "rotation", "translation", "shear"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"augmentation {name} is {getattr(self, name)}, expected 0 or more")
        for name in ("crop_area", "erasing_area", "noise_share"):
            if not getattr(self, name)[1] <= 1:
                raise ConfigError(f"augmentation {name} is {getattr(self, name)}, expected numbers of at most 1")
        for name, hint in get_type_hints(AugmentationConfig).items():
            _check(name, hint, getattr(self, name))
        self._check_order()

    def _check_order(self) -> None:
        for name in PROBABILITIES:
            times, probability = self.order.count(name), getattr(self, name)
            if times > 1:
                raise ConfigError(f"the augmentation order contains {name} {times} times, expected once")
            if probability > 0 and not times:
                raise ConfigError(
                    f"the augmentation order does not contain {name}, but its probability is {probability}: add "
                    f"{name} to the order, or set its probability to 0"
                )


def _check(name: str, hint: Any, value: Any) -> None:
    """Check the names or the range of a field, according to its type."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise ConfigError(f"augmentation {name} is {value!r}, expected one of {get_args(hint)}")
    if hint == tuple[float, float]:
        low, high = value
        if not 0 < low <= high < math.inf:
            raise ConfigError(f"augmentation {name} is ({low}, {high}), expected 0 < low <= high")
    elif get_origin(hint) is tuple:
        known = list(get_args(get_args(hint)[0]))
        if not value and name != "order":
            raise ConfigError(f"augmentation {name} is empty, expected one or more of {', '.join(known)}")
        for member in value:
            if member not in known:
                raise ConfigError(f"augmentation {name}: {unknown_name('name', str(member), known)}")
