"""The random changes that training makes to one image: OpenCV on uint8, in the worker that read it."""

from collections.abc import Callable

from numpy.random import Generator

from facemargin.data import geometric, photometric
from facemargin.data.augmentation_config import PROBABILITIES, AugmentationConfig
from facemargin.data.source import RGBImage

_AUGMENTATIONS: dict[str, Callable[[RGBImage, AugmentationConfig, Generator], RGBImage]] = {
    "flip": geometric.flip,
    "color_jitter": photometric.color_jitter,
    "affine": geometric.affine,
    "grayscale": photometric.grayscale,
    "blur": photometric.blur,
    "noise": photometric.noise,
    "erasing": geometric.erasing,
    "low_resolution": photometric.low_resolution,
    "crop": geometric.crop,
}


def augment(image: RGBImage, config: AugmentationConfig, generator: Generator) -> RGBImage:
    """An image of the same shape, changed by each augmentation with its probability; `image` itself is untouched.

    All draws come from `generator`. Which augmentations happen is drawn first, so that turning one on or off changes
    nothing about whether the others happen.
    """
    draws = generator.random(len(PROBABILITIES))
    for name, draw in zip(PROBABILITIES, draws, strict=True):
        if draw < getattr(config, name):
            image = _AUGMENTATIONS[name](image, config, generator)
    return image
