"""Warns about images that are not square, because networks resize them to a square, which distorts them."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from facemargin.counting import counted
from facemargin.data.source import ImageSource, LabeledImages, RGBImage
from facemargin.errors import ImageError

LOOKED_AT = 100
_NAMED = 3

logger = logging.getLogger(__name__)


def warn_of_squashed(images: ImageSource) -> None:
    """Look at up to 100 images (spread over the set, if they can be read in any order) and log how many of them are not
    square, as aligned faces are; nothing if that is told already (`ImageSource.squashing_told`)."""
    if images.squashing_told:
        return
    in_blocks = isinstance(images, LabeledImages) and images.blocks is not None
    looked_at = min(LOOKED_AT, len(images))
    indices = range(looked_at) if in_blocks else np.linspace(0, len(images) - 1, looked_at).astype(int).tolist()
    counting = _Counting(images)
    for index in indices:
        try:
            counting.read(index)
        except ImageError:  # such images are counted where they are used
            continue
    counting.warn(f"the {counted(looked_at, 'image')} looked at", indices, "will be")


@contextmanager
def squashed_counted(images: ImageSource) -> Iterator[ImageSource]:
    """The same images; on leaving, those that were read and are not square are counted in a warning, unless that is
    told already."""
    if images.squashing_told:
        yield images
        return
    counting = _Counting(images)
    yield counting
    counting.warn(f"the {counted(len(images), 'image')}", range(len(images)), "were")


class SquashingTold(ImageSource):
    """The images of `source`, of whose squareness the caller has told."""

    squashing_told = True

    def __init__(self, source: ImageSource) -> None:
        self.name, self.threadsafe = source.name, source.threadsafe
        self._source = source

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


class _Counting(SquashingTold):
    """Notes, in any thread, which of the images that are read are not square."""

    def __init__(self, source: ImageSource) -> None:
        super().__init__(source)
        self._sizes: dict[int, tuple[int, int]] = {}

    def read(self, index: int) -> RGBImage:
        image = super().read(index)
        height, width = image.shape[:2]
        if height != width:
            self._sizes[index] = width, height
        return image

    def warn(self, of_what: str, order: Sequence[int], are: str) -> None:
        sizes = [(index, *self._sizes[index]) for index in order if index in self._sizes]
        squashed = [f"{self.describe(index)}: {width} × {height}" for index, width, height in sizes]
        if squashed:
            logger.warning(
                "%s: %d of %s %s not square (%s%s) and %s squashed to a square. Recognisers read aligned faces: "
                "facemargin align finds them in photographs and cuts them out",
                self.name,
                len(squashed),
                of_what,
                "is" if len(squashed) == 1 else "are",
                ", ".join(squashed[:_NAMED]),
                ", …" if len(squashed) > _NAMED else "",
                are,
            )
