"""What training does to an image at random: a probability and ranges per augmentation, as fields of a recipe."""

from dataclasses import dataclass, fields
from typing import Literal

from facemargin.errors import ConfigError

_BORDERS = ("black", "repeat")
_FILLS = ("black", "grey")


@dataclass(frozen=True)
class AugmentationConfig:
    """Every augmentation is off until its probability is set; the ranges start at FunFace's (arXiv 2604.26598).

    Lengths are fractions of the image, so that one recipe means the same at every image size. The order is that of
    the fields, after FunFace's. Raises ConfigError for a probability outside 0..1 or a range that is not ascending.
    """

    flip: float = 0.0
    """Probability of mirroring left to right."""

    color_jitter: float = 0.0
    """Probability of changing brightness, contrast, saturation and hue, in random order."""
    brightness: float = 0.6
    """The brightness is multiplied by a factor drawn from 1 ± this; so are contrast and saturation by theirs."""
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.01
    """The hue turns by ± this fraction of the colour circle."""

    affine: float = 0.0
    """Probability of a rotation, translation, scaling and shear."""
    rotation: float = 5.0
    """The angle is drawn from ± this many degrees."""
    translation: float = 0.05
    """Largest shift in each direction, as a fraction of the side."""
    scale: tuple[float, float] = (0.98, 1.02)
    shear: float = 0.0
    """Rows slide sideways by up to ± this much per row (not in FunFace or AdaFace)."""
    border: Literal["black", "repeat"] = "black"
    """What comes in from outside: black, or the edge's pixels again."""

    grayscale: float = 0.0
    """Probability of removing the colour."""

    blur: float = 0.0
    """Probability of a Gaussian blur (not in FunFace or AdaFace)."""
    blur_sigma: tuple[float, float] = (0.005, 0.02)
    """Standard deviation as a fraction of the image's height."""

    noise: float = 0.0
    """Probability of blending with noise: uniform over all grey values or Gaussian around mid-grey, evenly."""
    noise_share: tuple[float, float] = (0.05, 0.2)
    """The share of the noise in the blend."""

    erasing: float = 0.0
    """Probability of hiding a rectangle of aspect ratio 0.3 to 3.3."""
    erasing_area: tuple[float, float] = (0.01, 0.1)
    """The rectangle's share of the image."""
    erasing_fill: Literal["black", "grey"] = "black"
    """What hides it: black, as in FunFace, or a grey drawn at random, which leaves dark hair its meaning."""

    low_resolution: float = 0.0
    """Probability of shrinking the image and enlarging it again, with interpolations drawn at random."""
    low_resolution_side: tuple[float, float] = (16 / 112, 64 / 112)
    """The small image's side as a fraction: FunFace's 16 to 64 of 112 pixels; AdaFace's is (0.2, 1)."""

    crop: float = 0.0
    """Probability of blackening all but a rectangle, which stays in its place."""
    crop_area: tuple[float, float] = (0.5, 1.0)
    """The rectangle's share of the image; AdaFace's is (0.2, 1)."""
    crop_aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self) -> None:
        for name in PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"augmentation {name} is {getattr(self, name)}, expected a probability from 0 to 1")
        for name in (
            "contrast",
            "saturation",
            "brightness",
            "hue",
            "rotation",
            "translation",
            "shear",
        ):
            if getattr(self, name) < 0:
                raise ConfigError(f"augmentation {name} is {getattr(self, name)}, expected 0 or more")
        for name, choices in (("border", _BORDERS), ("erasing_fill", _FILLS)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"augmentation {name} is {getattr(self, name)!r}, expected one of {choices}")
        for name in (field.name for field in fields(self) if isinstance(field.default, tuple)):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ConfigError(f"augmentation {name} is ({low}, {high}), expected 0 < low <= high")


PROBABILITIES = (
    "flip", "color_jitter", "affine", "grayscale", "blur", "noise", "erasing", "low_resolution", "crop",
)  # fmt: skip
"""The fields that are probabilities, in the order in which the augmentations are applied."""
