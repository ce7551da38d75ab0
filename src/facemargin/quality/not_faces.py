"""Pictures without a face, made by a seed, which a good measure of quality must rank below faces.

Pictures are (H, W, 3) uint8 RGB. The random numbers depend on (seed, kind, index) only.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator

from facemargin.data.source import RGBImage
from facemargin.randomness import Purpose, sample_generator

NOISE_DEVIATION = 60.0
"""Standard deviation of the grey values of Gaussian noise around 127.5."""
BLOCKS_A_SIDE = 8
"""A face is cut into 8 × 8 blocks, smaller than an eye, before they are shuffled."""


def _uniform_noise(face: RGBImage, generator: Generator) -> RGBImage:
    return generator.integers(0, 256, face.shape, dtype=np.uint8)


def _gaussian_noise(face: RGBImage, generator: Generator) -> RGBImage:
    return _grey_values(127.5 + NOISE_DEVIATION * generator.standard_normal(face.shape))


def _flat_color(face: RGBImage, generator: Generator) -> RGBImage:
    return np.broadcast_to(generator.integers(0, 256, 3, dtype=np.uint8), face.shape).copy()


def _texture(face: RGBImage, generator: Generator) -> RGBImage:
    """Blobs of all sizes, the larger the stronger, as in pictures of scenes: the coarsest has a quarter of the side."""
    height, width = face.shape[:2]
    picture = np.full(face.shape, generator.uniform(64, 192, 3))
    for octave in range(2, max(3, int(np.log2(max(2, min(height, width)))))):
        side = 2**octave
        blobs = generator.standard_normal((side, side, 3))
        picture += 160 / side * cv2.resize(blobs, (width, height), interpolation=cv2.INTER_CUBIC)
    return _grey_values(picture)


def _shuffled_face(face: RGBImage, generator: Generator) -> RGBImage:
    """The face's blocks in a random order: its colours and edges, but no face. A rest that no whole block covers stays
    in place."""
    height, width = max(1, face.shape[0] // BLOCKS_A_SIDE), max(1, face.shape[1] // BLOCKS_A_SIDE)
    corners = [(y * height, x * width) for y in range(face.shape[0] // height) for x in range(face.shape[1] // width)]
    shuffled = face.copy()
    for (to_y, to_x), place in zip(corners, generator.permutation(len(corners)), strict=True):
        y, x = corners[place]
        shuffled[to_y : to_y + height, to_x : to_x + width] = face[y : y + height, x : x + width]
    return shuffled


def _grey_values(values: RGBImage) -> RGBImage:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


NOT_FACES: dict[str, Callable[[RGBImage, Generator], RGBImage]] = {
    "uniform noise": _uniform_noise,
    "Gaussian noise": _gaussian_noise,
    "flat color": _flat_color,
    "texture": _texture,
    "shuffled face": _shuffled_face,
}
"""{kind: a function of a face, whose size the picture has, and a generator}."""

_STREAMS = {name: number for number, name in enumerate(NOT_FACES)}


def not_a_face(kind: str, face: RGBImage, seed: int, index: int) -> RGBImage:
    """Picture `index` of a kind of `NOT_FACES`, in the size of `face`; of "shuffled face" it is made from it."""
    generator = sample_generator(seed, 1 + _STREAMS[kind], index, Purpose.QUALITY_CHECK)
    return NOT_FACES[kind](face, generator)
