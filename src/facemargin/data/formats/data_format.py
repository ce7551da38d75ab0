"""What a format of data sets is: a name, words, and a function that opens what is in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facemargin.data.source import LabeledImages
from facemargin.registry import Registry


@dataclass(frozen=True)
class Location:
    """Where a data set is. `given` is as the user named it, which need not be a path ("orl:1-30", "data/*.parquet").
    `path` is the file or folder that is there, however its name is written in Unicode, None where nothing is. `root`:
    what the paths in an image list are relative to."""

    given: str | Path
    path: Path | None
    root: Path | None = None

    @property
    def text(self) -> str:
        return str(self.given)


OpenImages = Callable[[Location], LabeledImages | None]
"""Opens a data set of the format; None where what is at the location is not of it. Raises DataError for what is of it,
but damaged."""


@dataclass(frozen=True)
class DataFormat:
    """`order`: formats are asked in this order, and the first that is not refused opens."""

    open: OpenImages
    order: int


FORMATS: Registry[DataFormat] = Registry("data format", "facemargin.data.formats", plural="formats")


def register_format(name: str, description: str, order: int = 50) -> Callable[[OpenImages], OpenImages]:
    """Decorator that files the function that opens a format for `open_images`, with words that say what it looks like.

    `order` says who is asked first where two formats could be meant: 0 for names that are no paths, 10–20 for those
    that a file of a fixed name tells, 30–40 for those that suffixes tell, 90 for folders of images, which any folder
    could be.
    """

    def decorate(open_images: OpenImages) -> OpenImages:
        FORMATS.register(name, description=description)(DataFormat(open_images, order))
        return open_images

    return decorate
