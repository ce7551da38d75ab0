"""The pictures with which a measure of quality is checked: faces as they are and degraded, and pictures without a face.

Shapes: N faces, L of them degraded step by step, S strengths, Q pictures of each kind without a face.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource, LabeledImages, RGBImage
from facemargin.errors import ConfigError, DataError
from facemargin.quality.degradation_kinds import KINDS, degrade_by_kind
from facemargin.quality.not_faces import NOT_FACES, not_a_face
from facemargin.randomness import Purpose, sample_generator

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""The strengths in steps; 0 is the face as it is."""

_FIRST_IMAGES = 2
IntArray = NDArray[np.int64]


class CheckPictures(ImageSource):
    """All pictures of a check, one after the other: the N `faces` as they are; each of them degraded by one kind, drawn
    at random, at a strength drawn from 0 to 1; the faces `stepped_L`, by every kind at every strength above 0; and
    `not_faces` pictures of every kind without a face. `clean`, `mixed`, `steps` and `of_kind` say where they are."""

    def __init__(
        self, faces: ImageSource, stepped_L: IntArray, strengths: Sequence[float], not_faces: int, seed: int
    ) -> None:
        self.name = f"{faces.name}, for checking quality"
        self.threadsafe = faces.threadsafe
        self.squashing_told = faces.squashing_told
        self.stepped_L, self.not_faces = stepped_L, not_faces
        self._faces, self._seed = faces, seed
        self._above_0 = [strength for strength in strengths if strength > 0]
        count = len(faces)
        self.clean, self.mixed = slice(0, count), slice(count, 2 * count)
        self._steps_end = 2 * count + len(stepped_L) * len(KINDS) * len(self._above_0)

    def __len__(self) -> int:
        return self._steps_end + self.not_faces * len(NOT_FACES)

    def read(self, index: int) -> RGBImage:
        count = len(self._faces)
        if index < count:
            return self._faces.read(index)
        if index < self._steps_end:
            face, kind, strength = self._degradation(index)
            return degrade_by_kind(self._faces.read(face), kind, strength, self._seed, face)
        kind, number = self._not_face(index)
        return not_a_face(kind, self._faces.read(number % count), self._seed, number)

    def describe(self, index: int) -> str:
        if index < len(self._faces):
            return self._faces.describe(index)
        if index < self._steps_end:
            face, kind, strength = self._degradation(index)
            return f"{self._faces.describe(face)} ({kind} {round(strength, 2):g})"
        kind, number = self._not_face(index)
        return f"{kind} {number}"

    def steps(self, quality_P: NDArray[np.float64]) -> NDArray[np.float64]:
        """(kinds, L, S): the qualities of the stepped faces by kind and strength, in the order of KINDS, strength 0
        first; `quality_P` are those of all pictures."""
        shape = (len(self.stepped_L), len(KINDS), len(self._above_0))
        degraded = quality_P[2 * len(self._faces) : self._steps_end].reshape(shape).transpose(1, 0, 2)
        clean = np.broadcast_to(quality_P[self.stepped_L][None, :, None], (*degraded.shape[:2], 1))
        return np.concatenate([clean, degraded], axis=2)

    def of_kind(self, number: int) -> slice:
        """Where the pictures of kind `number` of NOT_FACES are."""
        start = self._steps_end + number * self.not_faces
        return slice(start, start + self.not_faces)

    def _degradation(self, index: int) -> tuple[int, str, float]:
        """The face, kind and strength of a degraded picture."""
        count = len(self._faces)
        if index < 2 * count:
            return index - count, *self._drawn[index - count]
        place, strength = divmod(index - 2 * count, len(self._above_0))
        row, kind = divmod(place, len(KINDS))
        return int(self.stepped_L[row]), list(KINDS)[kind], self._above_0[strength]

    def _not_face(self, index: int) -> tuple[str, int]:
        """The kind and the number of a picture without a face."""
        kind, number = divmod(index - self._steps_end, self.not_faces)
        return list(NOT_FACES)[kind], number

    @cached_property
    def _drawn(self) -> list[tuple[str, float]]:
        """Kind and strength of each face's random degradation."""
        drawn = []
        for index in range(len(self._faces)):
            generator = sample_generator(self._seed, 0, index + 1, Purpose.QUALITY_CHECK)
            drawn.append((list(KINDS)[generator.integers(len(KINDS))], float(generator.random())))
        return drawn


def choose_faces(faces: ImageSource, most: int, seed: int = 0) -> IntArray:
    """Row numbers, in order, of at most `most` faces; a function of (people, most, seed) only.

    Of labelled images: people are put in a random order, those with several images first; two images of each are taken,
    then a third of each, and so on, and at last people with one image. Of others: at equal distances. Raises
    ConfigError for fewer than two.

    Examples:
        >>> import facemargin as fm
        >>> faces = fm.open_images("orl:1-5")
        >>> faces.labels[fm.evaluation.choose_faces(faces, 10)].tolist()
        [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    """
    if most < 2:
        raise ConfigError(f"the number of faces is {most}, expected at least 2")
    if not len(faces):
        raise DataError(f"{faces.name} has no images, so no quality can be checked")
    if not isinstance(faces, LabeledImages):
        return np.unique(np.linspace(0, len(faces) - 1, min(most, len(faces))).round().astype(np.int64))
    return np.sort(_in_turns(faces.labels, _FIRST_IMAGES, seed)[:most])


def choose_stepped(faces: ImageSource, most: int, seed: int = 0) -> IntArray:
    """As `choose_faces`, of as many people as possible: one image of each, then a second of each, and so on."""
    if not isinstance(faces, LabeledImages):
        return choose_faces(faces, most, seed)
    return np.sort(_in_turns(faces.labels, 1, seed)[:most])


def _in_turns(labels_N: IntArray, first_images: int, seed: int) -> IntArray:
    """All row numbers, in turns of the people: `first_images` of each, then one of each; people with fewer come
    last."""
    generator = sample_generator(seed, 0, 0, Purpose.QUALITY_CHECK)
    places = generator.permutation(int(labels_N.max()) + 1)
    order = np.argsort(labels_N, kind="stable")
    counts = np.bincount(labels_N)
    turn_N = np.empty(len(labels_N), dtype=np.int64)
    turn_N[order] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    turn_N = np.maximum(turn_N, first_images - 1)
    few_N = counts[labels_N] < first_images
    return np.lexsort((places[labels_N], turn_N, few_N))
