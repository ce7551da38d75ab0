"""What a gallery keeps, and the interface of the places that keep it.

Shapes: N images, D size, P probes, K candidates.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.gallery.binding import Binding
from facemargin.quality.image_statistics import Reason


@dataclass(frozen=True)
class NewImage:
    """An image to be enrolled: its `vector` (D,) of unit length, `norm` and `quality`, where it is from (`source`), the
    `digest` of its pixels, a note about `consent`, and the `reasons` against it. `in_review`: it does not count before
    somebody has accepted it."""

    vector: NDArray[np.float32]
    norm: float
    quality: float
    source: str = ""
    digest: int = 0
    consent: str = ""
    reasons: tuple[Reason, ...] = ()
    in_review: bool = False


@dataclass(frozen=True)
class EnrolledImage:
    """An image of a gallery: its number, `person`, feature `norm` and `quality`, where it is from, the note about
    consent, when it was enrolled (UTC, ISO 8601), and the reasons that were found against it. One that is `in_review`
    does not count before somebody has accepted it."""

    number: int
    person: str
    norm: float
    quality: float
    source: str
    digest: int
    consent: str
    enrolled: str
    reasons: tuple[Reason, ...] = ()
    in_review: bool = False


@dataclass(frozen=True)
class EnrolledPerson:
    """A person of a gallery: the number, the name, `images` that count and those `in_review`, the mean `quality` of the
    former (NaN without any), and when the person was first enrolled (UTC, ISO 8601)."""

    number: int
    name: str
    images: int
    in_review: int
    quality: float
    enrolled: str


@dataclass(frozen=True)
class Candidates:
    """For each probe the enrolled people that are most alike, best first: `people_PK` their numbers, −1 where there are
    no more, and `scores_PK` the cosines with their templates, NaN there. Equal scores are in the order of numbers."""

    people_PK: NDArray[np.int64]
    scores_PK: NDArray[np.float64]


class Store(ABC):
    """Keeps the people, images and vectors of one gallery. The template of a person is the mean of the vectors of all
    images that count (see `person_template`); searches compare with templates. What a method changes is there wholly
    or, where it raises or the process is killed, not at all."""

    name: str
    """What messages call it."""
    binding: Binding

    @abstractmethod
    def writing(self, doing: str) -> AbstractContextManager[object]:
        """Let no other process change the gallery within this context. OutputError, which names the process that
        does, if there is one."""

    @abstractmethod
    def add(self, images: Mapping[str, Sequence[NewImage]]) -> None:
        """Enrol images by the person's name."""

    @abstractmethod
    def remove_people(self, names: Sequence[str]) -> int:
        """Delete people with all their images and vectors; returns the number of images. DataError for a name that is
        not enrolled."""

    @abstractmethod
    def remove_images(self, numbers: Sequence[int]) -> int:
        """Delete images with their vectors, and people of whom none is left; returns the number of images."""

    @abstractmethod
    def accept(self, numbers: Sequence[int]) -> None:
        """Let images count that are in review."""

    @abstractmethod
    def move_images(self, numbers: Sequence[int], person: str) -> None:
        """Let images be of this person, who is new if need be; people of whom none is left are deleted. DataError for a
        number that is not there."""

    @abstractmethod
    def people(self, after: int = 0) -> Iterator[EnrolledPerson]:
        """Everybody of a number above `after`, in the order of enrolment, which is that of the numbers."""

    @abstractmethod
    def images(self, person: str | None = None, *, in_review: bool = False, after: int = 0) -> Iterator[EnrolledImage]:
        """The images of a person, or all, in the order of enrolment, which is that of their numbers; only those
        `in_review`, if so asked, and of numbers above `after`. DataError for a name that is not enrolled."""

    @abstractmethod
    def vectors(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        """The vectors (N, D) of the images with these numbers."""

    @abstractmethod
    def person_numbers(self, names: Sequence[str]) -> list[int | None]:
        """The numbers of people, None for those who are not enrolled."""

    @abstractmethod
    def person_names(self, numbers: Sequence[int]) -> list[str]:
        """The names of people by their numbers."""

    @abstractmethod
    def search(self, probes_PD: NDArray[np.float32], candidates: int) -> Candidates:
        """The enrolled people most like each probe, exactly: none is passed over."""

    @abstractmethod
    def counts(self) -> tuple[int, int, int]:
        """The number of people with images that count, of these images, and of images in review."""

    @abstractmethod
    def state(self) -> str:
        """A digest of who is enrolled by which vectors: 16 hexadecimal digits. It changes with every image that counts
        or ceases to."""

    @abstractmethod
    def check(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Read everything, and say what is wrong with it, naming file and row; empty if nothing is."""

    @abstractmethod
    def close(self) -> None:
        """Let go of all files."""
