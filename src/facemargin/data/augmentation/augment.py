"""Draws the augmentations of one image and applies them with OpenCV, in the worker that read the image.

`augment` does both. `draw_augmentation` only draws, so that `augment_batch` can apply them on a device. Both draw the
same parameters, except for the pixels of the noise.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.random import Generator

from facemargin.data.augmentation import geometric, photometric
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.data.source import RGBImage

_SEEDS = 2**63


def _happens(shape: tuple[int, int], config: AugmentationConfig, generator: Generator) -> bool:
    return True


_DRAW: dict[str, Callable[[tuple[int, int], AugmentationConfig, Generator], Any]] = {
    "flip": _happens,
    "color_jitter": photometric.draw_color_jitter,
    "affine": geometric.draw_affine,
    "grayscale": _happens,
    "blur": photometric.draw_blur,
    "noise": photometric.draw_noise,
    "erasing": geometric.draw_erasing,
    "low_resolution": photometric.draw_low_resolution,
    "crop": geometric.draw_crop,
}
_APPLY: dict[str, Callable[[RGBImage, Any], None]] = {
    "flip": geometric.flip,
    "color_jitter": photometric.color_jitter,
    "affine": geometric.affine,
    "grayscale": photometric.grayscale,
    "blur": photometric.blur,
    "erasing": geometric.erasing,
    "low_resolution": photometric.low_resolution,
    "crop": geometric.crop,
}


def augment(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """As `augment_in_place`, on a copy of the image."""
    augmented = np.array(image, order="C")
    augment_in_place(augmented, config, generator)
    return augmented


def augment_in_place(image: RGBImage, config: AugmentationConfig, generator: Generator) -> None:
    """Change an image, contiguous (H, W, 3) uint8 RGB, by each augmentation with its probability.

    All draws come from `generator`. Which augmentations happen is drawn first, so that turning one on or off changes
    nothing about whether the others happen.
    """
    shape = image.shape[:2]
    for name in _happening(config, generator):
        draw = _DRAW[name](shape, config, generator)
        if name == "noise":
            photometric.noise(image, draw, photometric.noise_pixels(shape, draw, generator))
        else:
            _APPLY[name](image, draw)


def draw_augmentation(height: int, width: int, config: AugmentationConfig, generator: Generator) -> AugmentationDraws:
    """The parameters that `augment` would draw for an image of this size, with a seed instead of the pixels of the
    noise."""
    shape = height, width
    happening = _happening(config, generator)
    drawn = {}
    for name in happening:
        drawn[name] = _DRAW[name](shape, config, generator)
        if name == "noise" and name != happening[-1]:
            # Later draws follow the pixels of the noise. These take longer than all other draws, so they are only drawn
            # if needed.
            photometric.noise_pixels(shape, drawn[name], generator)
    if "noise" in drawn:
        # The seed is drawn last, so that all other draws are the same as in `augment`.
        drawn["noise"] = replace(drawn["noise"], seed=int(generator.integers(_SEEDS)))
    return AugmentationDraws(**drawn, order=config.order)


def _happening(config: AugmentationConfig, generator: Generator) -> list[str]:
    """The augmentations that are applied to this image, in their order."""
    draws = generator.random(len(PROBABILITIES)).tolist()
    happens = {name: draw < getattr(config, name) for name, draw in zip(PROBABILITIES, draws, strict=True)}
    return [name for name in config.order if happens[name]]
