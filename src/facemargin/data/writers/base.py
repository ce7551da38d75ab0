"""What all writers of data sets have in common. Shapes: N images."""

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
    """Writes images, in order, to the empty folder `folder`, or goes on where an earlier one with a `state` was.

    `grouped` says that images of one person follow one another, in the order of the labels. OSErrors are the caller's.
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
        """What a reader will call the people."""
        return [one_line(name) for name in self.identity_names]

    @abstractmethod
    def _resume(self, state: dict[str, Any]) -> None:
        """Open the files, cut off after what `state` says, and remove those of a process that was killed which come
        after it; an empty state is the beginning."""

    @abstractmethod
    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        """Write image `number`; `suffix` is that of a file of its kind, as ".jpg"."""

    @abstractmethod
    def commit(self) -> tuple[int | None, dict[str, Any]]:
        """How many images are on the disk for good, None for all, and the state from which to go on after them."""

    @abstractmethod
    def finish(self, labels_N: NDArray[np.int64]) -> None:
        """Complete the set of all images that were added, which have these labels."""


WRITERS: Registry[type[ImageWriter]] = Registry("format", "facemargin.data.writers", plural="writers")

WriterName = Annotated[str, NameOf(WRITERS)]


def register_writer(name: str, description: str) -> Callable[[type[ImageWriter]], type[ImageWriter]]:
    """Class decorator that files a writer for `convert` and `facemargin convert --to`, under the name of the data
    format that reads what it writes, with words for what that is."""
    return WRITERS.register(name, description=description)


def remove_from(paths: Iterable[Path], first: int) -> None:
    """Remove the files among `paths` whose names hold the number `first` or a higher one.

    What writes them anew may never reach those numbers: an image may have become unreadable, or files be cut elsewhere.
    """
    for path in list(paths):
        number = _NUMBER.search(path.name)
        if number and int(number[0]) >= first:
            path.unlink()
