"""The formats of training sets: each has a name, a description and a function that opens it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from facemargin.data.source import LabeledImages
from facemargin.registry import Registry


@dataclass(frozen=True)
class Location:
    """The location of a data set. `given` is what the user wrote, which is not always a path ("orl:1-30",
    "data/*.parquet"). `path` is the file or folder with this name, in any Unicode normal form; None if there is none.
    The paths in an image list are relative to `root`."""

    given: str | Path
    path: Path | None
    root: Path | None = None

    @property
    def text(self) -> str:
        return str(self.given)


OpenImages = Callable[[Location], LabeledImages | None]
"""A function that opens a data set of a format. It returns None if the location has another format, and raises
DataError if the data set is damaged."""


@dataclass(frozen=True)
class DataFormat:
    """`open` is called for the formats in ascending `order`, until one of them does not return None."""

    open: OpenImages
    order: int


FORMATS: Registry[DataFormat] = Registry("data format", "facemargin.data.formats", plural="formats")


def register_format(name: str, description: str, order: int = 50) -> Callable[[OpenImages], OpenImages]:
    """Decorator that registers the function that opens a format, for `open_images`. `description` says how a data set
    of the format looks on disk.

    If a location could have several formats, the one with the smallest `order` is used: 0 for names that are not paths,
    10 to 20 for formats with a file of a fixed name, 30 to 40 for formats with a suffix of their own, 90 for folders of
    images, because any folder could be one.
    """

    def decorate(open_images: OpenImages) -> OpenImages:
        FORMATS.register(name, description=description)(DataFormat(open_images, order))
        return open_images

    return decorate
