"""The interface of all readers of images, `ImageSource`. Only the readers in this package know file formats.

Shapes: N images, H × W pixels.
"""

import operator
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.blocks import Blocks
from facemargin.errors import DataError

RGBImage = NDArray[Any]
"""An image in memory: (H, W, 3), uint8, RGB. OpenCV's type stubs know no element types, hence `Any`."""


class ImageSource(ABC):
    """Images that are read one at a time, on demand, from any number of worker processes.

    `source[3]` and `for image in source` read images, too. `name` is the name of the source in messages. `threadsafe`:
    several threads may call `read` at once, as they do for a network on a GPU; otherwise a single one reads.
    `squashing_told`: whoever reads them tells of images that are not square, or they are so on purpose, so that no
    network warns of them.
    """

    name: str
    threadsafe: bool = False
    squashing_told: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """The number of images, N."""

    @abstractmethod
    def read(self, index: int) -> RGBImage:
        """Image `index` in 0..N-1 as (H, W, 3) uint8 RGB. Raises CorruptImageError, which names the file or record, if
        it cannot be read."""

    def __getitem__(self, index: int) -> RGBImage:
        """Image `index`, as from `read`; negative numbers count from the end. Raises IndexError if there is no such
        image, and TypeError for a slice."""
        if isinstance(index, slice):
            raise TypeError(f"{self.name}: images are read one at a time; for several, use [images[i] for i in ...]")
        number = operator.index(index)
        if not -len(self) <= number < len(self):
            raise IndexError(f"{self.name} has {counted(len(self), 'image')}, so there is no image {number}")
        return self.read(number % len(self))

    def __iter__(self) -> Iterator[RGBImage]:
        return map(self.read, range(len(self)))

    def read_encoded(self, index: int) -> bytes:
        """The stored bytes of image `index`, which may be corrupt. For an image that is not stored as a file, these are
        the bytes of a PNG. Raises CorruptImageError if the bytes cannot be read."""
        return encode_png(self.read(index))

    def is_stored(self, index: int) -> bool:
        """Whether image `index` is decoded from what `read_encoded` returns, which else makes a PNG of it."""
        return type(self).read_encoded is not ImageSource.read_encoded

    @abstractmethod
    def describe(self, index: int) -> str:
        """The file or record of image `index`, for messages."""


def encode_png(image: RGBImage) -> bytes:
    """The image as the bytes of a PNG file, which is lossless."""
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1])


class LabeledImages(ImageSource):
    """Images with the identities of the people in them.

    `labels` (N,) int64 in 0..num_identities-1; `identity_names[label]` is the person's name. Some formats store numbers
    only: `has_names` is then False, and equal names in two sets do not mean the same person. `blocks` are groups of
    images that are stored together, if reading single images is slow, otherwise None. Images of unknown people (label
    −1) are left out; `num_unlabeled` is their number.
    """

    labels: NDArray[np.int64]
    identity_names: list[str]
    has_names: bool = True
    blocks: Blocks | None = None
    num_unlabeled: int = 0

    @property
    def num_identities(self) -> int:
        return len(self.identity_names)


class ArrayImages(ImageSource):
    """Images that are already in memory: a sequence of (H, W, 3) uint8 RGB arrays, or one (N, H, W, 3) array."""

    threadsafe = True

    def __init__(self, images: Sequence[RGBImage] | RGBImage, name: str = "arrays") -> None:
        for index, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise DataError(
                    f"{name}: image {index} is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3), RGB"
                )
        self.name = name
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def read(self, index: int) -> RGBImage:
        return self._images[index]

    def describe(self, index: int) -> str:
        return f"{self.name}: image {index}"


class ImageSubset(ImageSource):
    """The images of `source` at `indices`, in this order."""

    def __init__(self, source: ImageSource, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self.name, self.threadsafe = source.name, source.threadsafe
        self.squashing_told = source.squashing_told
        self._source = source
        self._indices = np.asarray(indices, dtype=np.int64)

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: int) -> RGBImage:
        return self._source.read(int(self._indices[index]))

    def read_encoded(self, index: int) -> bytes:
        return self._source.read_encoded(int(self._indices[index]))

    def is_stored(self, index: int) -> bool:
        return self._source.is_stored(int(self._indices[index]))

    def describe(self, index: int) -> str:
        return self._source.describe(int(self._indices[index]))


class WithLabels(LabeledImages):
    """The images of `source` with `labels` (N,) in 0..len(identity_names)-1. Raises DataError if the labels do not
    fit."""

    def __init__(
        self, source: ImageSource, labels: Sequence[int] | NDArray[np.int64], identity_names: Sequence[str]
    ) -> None:
        self.name, self.threadsafe = source.name, source.threadsafe
        self.squashing_told = source.squashing_told
        self.labels = np.asarray(labels, dtype=np.int64)
        self.identity_names = list(identity_names)
        self._source = source
        if self.labels.shape != (len(source),):
            raise DataError(
                f"{self.name}: labels of shape {self.labels.shape} for {counted(len(source), 'image')}, expected one "
                "per image"
            )
        if len(source) and (self.labels.min() < 0 or self.labels.max() >= self.num_identities):
            raise DataError(
                f"{self.name}: labels from {self.labels.min()} to {self.labels.max()}; "
                f"expected 0 to {self.num_identities - 1}, one per identity name"
            )

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        return self._source.read(index)

    def read_encoded(self, index: int) -> bytes:
        return self._source.read_encoded(index)

    def is_stored(self, index: int) -> bool:
        return self._source.is_stored(index)

    def describe(self, index: int) -> str:
        return self._source.describe(index)


def labeled_subset(images: LabeledImages, indices: Sequence[int] | NDArray[np.int64]) -> LabeledImages:
    """The images at `indices`. People without an image among them are left out, and labels are renumbered without
    gaps."""
    used_labels, labels = np.unique(images.labels[np.asarray(indices, dtype=np.int64)], return_inverse=True)
    subset = WithLabels(ImageSubset(images, indices), labels, [images.identity_names[label] for label in used_labels])
    subset.has_names = images.has_names
    return subset
