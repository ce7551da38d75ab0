"""Pictures that are made wrong on purpose, from some of the set's own. Pictures are (H, W, 3) uint8 RGB."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facemargin.data.images.decode import decode_image
from facemargin.data.source import ArrayImages, ImageSource, RGBImage
from facemargin.errors import ImageError
from facemargin.quality.not_faces import NOT_FACES, not_a_face
from facemargin.randomness import Purpose, sample_generator

_SEED = 20261127
_TINY = 8
_CORNER = 3


def tiny(image: RGBImage, _: Generator) -> RGBImage:
    """As if the face had been 8 pixels wide."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (_TINY, max(1, round(_TINY * height / width))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def copy(image: RGBImage, generator: Generator) -> RGBImage:
    """A copy as they occur: with other tones, as after editing, cut or aligned anew (turned, scaled and moved a
    little), encoded again, and each with a chance blurred, mirrored, half as large, and without its colours."""
    height, width = image.shape[:2]
    image = _toned(image, generator)
    if generator.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.3, 1.5) * height / 112)
    movement_23 = cv2.getRotationMatrix2D((width / 2, height / 2), generator.normal(0, 3), generator.uniform(0.9, 1.15))
    movement_23[:, 2] = movement_23[:, 2] + generator.normal(0, 0.025, 2) * (width, height)
    image = cv2.warpAffine(image, movement_23, (width, height), borderMode=cv2.BORDER_REPLICATE)
    image = np.clip(image * generator.uniform(0.75, 1.25), 0, 255).astype(np.uint8)
    if generator.random() < 0.3:
        image = image[:, ::-1]
    if generator.random() < 0.3:
        small = cv2.resize(image, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if generator.random() < 0.1:
        image = cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(generator.integers(30, 91))]
    encoded = cv2.imencode(".jpg", np.ascontiguousarray(image[:, :, ::-1]), quality)[1]
    return decode_image(bytes(encoded), "a planted copy")


def _toned(image: RGBImage, generator: Generator) -> RGBImage:
    """A gamma and a contrast: what changes brightness alone would not change a correlation."""
    tones = (np.arange(256) / 255) ** np.exp(generator.normal(0, 0.3))
    tones = np.clip((tones - 0.5) * generator.uniform(0.75, 1.4) + 0.5, 0, 1)
    return np.asarray((255 * tones).astype(np.uint8)[image])


def plant(
    images: ImageSource, rows: NDArray[np.int64], make: Callable[[RGBImage, Generator], RGBImage]
) -> tuple[ArrayImages, NDArray[np.int64]]:
    """What `make` makes of the images at `rows`, and those rows that can be read."""
    made, readable = [], []
    for row in rows.tolist():
        try:
            image = images.read(row)
        except ImageError:
            continue
        made.append(make(image, sample_generator(_SEED, 0, row, Purpose.QUALITY_CHECK)))
        readable.append(row)
    return ArrayImages(made, "planted"), np.array(readable, dtype=np.int64)


def no_face(image: RGBImage, generator: Generator) -> RGBImage:
    """Noise, one colour, blobs, a shuffled face, or an upper corner enlarged: hair and background."""
    kind = int(generator.integers(len(NOT_FACES) + 1))
    if kind < len(NOT_FACES):
        return not_a_face([*NOT_FACES][kind], image, _SEED, int(generator.integers(2**31)))
    height, width = (max(1, side // _CORNER) for side in image.shape[:2])
    corner = image[:height, :width] if generator.random() < 0.5 else image[:height, -width:]
    return cv2.resize(np.ascontiguousarray(corner), image.shape[1::-1], interpolation=cv2.INTER_CUBIC)
