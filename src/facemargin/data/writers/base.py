"""The common base of all writers of data sets. Shapes: N images."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.identity_names import one_line
from facemargin.registry import NameOf, Registry

_NUMBER = re.compile(r"[0-9]+")


class ImageWriter(ABC):
    """Writes images, in order, to the empty folder `folder`, or continues after the `state` of an earlier writer.

    `grouped` says that the images of a person follow one another, in the order of the labels. The caller handles
    OSError.
    """

    #: Whether a person's images are to follow one another: they then come in the order of the labels, unless their
    #: source can only be read in its own order.
    groups_people: ClassVar[bool] = False

    def __init__(self, folder: Path, identity_names: Sequence[str], grouped: bool, state: dict[str, Any]) -> None:
        self.folder = folder
        self.identity_names = list(identity_names)
        self.grouped = grouped
        self._resume(state)

    @property
    def stored_names(self) -> list[str]:
        """The names of the people that a reader will return."""
        return [one_line(name) for name in self.identity_names]

    @abstractmethod
    def _resume(self, state: dict[str, Any]) -> None:
        """Open the files, cut them off at `state`, and remove later files of a killed process. An empty state is the
        beginning."""

    @abstractmethod
    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        """Write image `number`. `suffix` is that of its format, such as ".jpg"."""

    @abstractmethod
    def commit(self) -> tuple[int | None, dict[str, Any]]:
        """How many images are safely on the disk (None for all), and the state from which a writer can continue after
        them."""

    @abstractmethod
    def finish(self, labels_N: NDArray[np.int64]) -> None:
        """Complete the data set. `labels_N` are the labels of all images that were added."""


WRITERS: Registry[type[ImageWriter]] = Registry("format", "facemargin.data.writers", plural="writers")

WriterName = Annotated[str, NameOf(WRITERS)]


def register_writer(name: str, description: str) -> Callable[[type[ImageWriter]], type[ImageWriter]]:
    """Class decorator that files a writer for `convert` and `facemargin convert --to`, under the name of the data
    format that reads what it writes, with words for what that is."""
    return WRITERS.register(name, description=description)


def remove_from(paths: Iterable[Path], first: int) -> None:
    """Remove the files among `paths` whose names contain the number `first` or a higher one.

    A new writer may not reach these numbers, because an image may have become unreadable or files may be split
    differently.
    """
    for path in list(paths):
        number = _NUMBER.search(path.name)
        if number and int(number[0]) >= first:
            path.unlink()
