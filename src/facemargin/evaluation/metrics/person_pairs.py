"""Image pairs as pairs of people: each image pair with the weight that lets all pairs of people count alike.

h(i, j) is the share of the image pairs of people i and j, within one band of quality, that are in error. The band of an
image pair is that of its poorer image; the people of a band are those who have an image in it. The rate of a band is
the mean of h over its pairs of people, so an image pair weighs 1 / (image pairs of i and j) / (pairs of people).

Shapes: K image pairs, J those of one block, G genuine ones, N people, P pairs of them, B bands of
quality from the poorest up, S images, R and C images of a tile.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.certified_bound import Design
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray
from facemargin.evaluation.metrics.tensors import as_tensor

_TILE_IMAGES = 2**10


@dataclass(frozen=True)
class ImpostorBlock:
    """Some impostor pairs, among them all or none of any two people: their scores, bands, people, and weights, which
    sum to 1 over all blocks in every band."""

    scores_J: FloatArray
    band_J: IntArray
    person_a_J: IntArray
    person_b_J: IntArray
    weight_J: FloatArray


@dataclass(frozen=True)
class GenuinePairs:
    """All genuine pairs. A pair of person i weighs 1 / (i's pairs in the band) / (the band's people with a pair)."""

    scores_G: FloatArray
    band_G: IntArray
    person_G: IntArray
    weight_G: FloatArray
    people_B: IntArray

    @classmethod
    def of(cls, scores_G: FloatArray, band_G: IntArray, person_G: IntArray, bands: int) -> "GenuinePairs":
        keys_C, key_G, count_C = np.unique(person_G * bands + band_G, return_inverse=True, return_counts=True)
        people_B = np.bincount(keys_C % bands, minlength=bands)
        return cls(scores_G, band_G, person_G, 1 / (count_C[key_G] * people_B[band_G]), people_B)


class PersonPairs(Protocol):
    """What is compared. `pairs_B`: the impostor pairs; `people_B`: the people in them; `terms_B`: the pairs of people
    (for a gallery, the people) that the rate is the mean of; `units_B`: the independent terms among them;
    `terms_of_BN`: those that each person is in. All scores are from `low` to `high`."""

    people: int
    low: float
    high: float
    pairs_B: IntArray
    people_B: IntArray
    terms_B: IntArray
    units_B: IntArray
    terms_of_BN: IntArray
    genuine: GenuinePairs

    def impostor_blocks(self, lowest_B: FloatArray) -> Iterator[ImpostorBlock]:
        """The pairs with at least the lowest score of their band."""
        ...


class ScoredPairs:
    """Pairs that have scores already."""

    def __init__(
        self,
        scores_K: FloatArray,
        same_K: BoolArray,
        person_a_K: IntArray,
        person_b_K: IntArray,
        people: int,
        design: Design,
        band_a_K: IntArray,
        band_b_K: IntArray,
        bands: int,
    ) -> None:
        self.people, self._bands = people, bands
        band_K = np.minimum(band_a_K, band_b_K)
        self.genuine = GenuinePairs.of(scores_K[same_K], band_K[same_K], person_a_K[same_K], bands)
        kept_K = ~same_K
        if design == "gallery":
            kept_K &= ~_marked(person_b_K, people)[person_a_K]
        elif design == "all-pairs":
            has_image_BN = np.zeros((bands, people), bool)
            has_image_BN[band_a_K, person_a_K] = has_image_BN[band_b_K, person_b_K] = True
            kept_K &= has_image_BN[band_K, person_a_K] & has_image_BN[band_K, person_b_K]
        self.left_out = int(np.count_nonzero(~same_K & ~kept_K))
        a_J, b_J, band_J = person_a_K[kept_K], person_b_K[kept_K], band_K[kept_K]
        if design != "gallery":
            a_J, b_J = np.minimum(a_J, b_J), np.maximum(a_J, b_J)
        pair_P, pair_J, images_P = np.unique(
            (band_J * people + a_J) * people + b_J, return_inverse=True, return_counts=True
        )
        band_P, a_P, b_P = pair_P // people**2, pair_P // people % people, pair_P % people
        if design == "gallery":
            _require_all(
                len(np.unique(pair_P % people**2)),
                len(np.unique(a_P)) * len(np.unique(person_b_K)),
                "the whole gallery",
            )
            weight_P = self._of_gallery(band_P, a_P)
        else:
            weight_P = self._of_people(band_P, a_P, b_P, has_image_BN if design == "all-pairs" else None)
        self.pairs_B = np.bincount(band_J, minlength=bands)
        self._block = ImpostorBlock(scores_K[kept_K], band_J, a_J, b_J, (weight_P / images_P)[pair_J])
        scores_J = self._block.scores_J
        self.low, self.high = (float(scores_J.min()), float(scores_J.max())) if len(scores_J) else (0.0, 0.0)

    def _of_gallery(self, band_P: IntArray, person_P: IntArray) -> FloatArray:
        """The weight of each pair of a probe person and one of the gallery."""
        pairs_BN = np.bincount(band_P * self.people + person_P, minlength=self._bands * self.people)
        pairs_BN = pairs_BN.reshape(self._bands, self.people)
        self.terms_of_BN = (pairs_BN > 0).astype(np.int64)
        self.people_B = self.terms_B = self.units_B = self.terms_of_BN.sum(axis=1)
        if not len(band_P):
            raise DataError(
                "all of identities_a are in identities_b, too; design='gallery' needs people who are not enrolled "
                "(identities_b are the gallery)"
            )
        return np.asarray(1 / (pairs_BN[band_P, person_P] * self.terms_B[band_P]))

    def _of_people(self, band_P: IntArray, a_P: IntArray, b_P: IntArray, has_image_BN: BoolArray | None) -> FloatArray:
        """The weight of each pair of people, who are all compared if it is given who has an image in a band."""
        of_band_P = band_P * self.people
        both = np.concatenate([of_band_P + a_P, of_band_P + b_P])
        self.terms_of_BN = np.bincount(both, minlength=self._bands * self.people).reshape(self._bands, self.people)
        self.terms_B = np.bincount(band_P, minlength=self._bands)
        if has_image_BN is None:
            self.people_B = np.count_nonzero(self.terms_of_BN, axis=1)
            self.units_B = self.terms_B // (self.terms_of_BN.max(axis=1) + 1)
        else:
            self.people_B = has_image_BN.sum(axis=1)
            self.units_B = self.people_B // 2
            for people, terms in zip(self.people_B.tolist(), self.terms_B.tolist(), strict=True):
                _require_all(terms, _pairs_of(people), "everybody")
        return np.asarray(1 / self.terms_B[band_P])

    def impostor_blocks(self, lowest_B: FloatArray) -> Iterator[ImpostorBlock]:
        block = self._block
        high_J = block.scores_J >= lowest_B[block.band_J]
        yield ImpostorBlock(
            block.scores_J[high_J],
            block.band_J[high_J],
            block.person_a_J[high_J],
            block.person_b_J[high_J],
            block.weight_J[high_J],
        )


class EmbeddedPeople:
    """All images of different people compared with each other by the cosines of their vectors, which are computed when
    they are needed, tile by tile."""

    def __init__(self, vectors_SD: NDArray[np.float32], person_S: IntArray, band_S: IntArray, bands: int) -> None:
        order_S = np.argsort(person_S, kind="stable")
        self._person_S, self._band_S = person_S[order_S], band_S[order_S]
        self._vectors = as_tensor(np.ascontiguousarray(vectors_SD[order_S]))
        self.people = int(person_S.max()) + 1
        in_band_BN = np.zeros((bands, self.people), np.int64)
        np.add.at(in_band_BN, (band_S, person_S), 1)
        self._images_BN = in_band_BN[::-1].cumsum(axis=0)[::-1]
        self._better_BN = self._images_BN - in_band_BN
        self._member_BN = in_band_BN > 0
        self.low, self.high = -1.0, 1.0
        self.people_B = self._member_BN.sum(axis=1)
        self.units_B = self.people_B // 2
        self.terms_B = np.array([_pairs_of(number) for number in self.people_B.tolist()])
        self.terms_of_BN = self._member_BN * np.maximum(self.people_B - 1, 0)[:, None]
        images_BN, better_BN = self._images_BN * self._member_BN, self._better_BN * self._member_BN
        self.pairs_B = (_cross_sum(images_BN) - _cross_sum(better_BN)) // 2
        self._starts = tile_starts(self._person_S)
        self.genuine = self._genuine(bands)

    def impostor_blocks(self, lowest_B: FloatArray) -> Iterator[ImpostorBlock]:
        for number, (top, bottom) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            for left, right in zip(self._starts[number:-1], self._starts[number + 1 :], strict=True):
                yield self._tile(slice(top, bottom), slice(left, right), lowest_B)

    def _tile(self, rows: slice, columns: slice, lowest_B: FloatArray) -> ImpostorBlock:
        scores_RC = (self._vectors[rows] @ self._vectors[columns].T).numpy()
        person_R1, person_C = self._person_S[rows, None], self._person_S[columns]
        wanted_RC = scores_RC >= lowest_B.min()
        if rows == columns:
            wanted_RC &= person_R1 < person_C
        place_J = np.flatnonzero(wanted_RC)
        row_J, column_J = np.divmod(place_J, scores_RC.shape[1])
        scores_J, a_J, b_J = scores_RC.ravel()[place_J], person_R1[row_J, 0], person_C[column_J]
        band_J = np.minimum(self._band_S[rows][row_J], self._band_S[columns][column_J])
        if len(lowest_B) > 1:
            kept_J = self._member_BN[band_J, a_J] & self._member_BN[band_J, b_J] & (scores_J >= lowest_B[band_J])
            scores_J, band_J, a_J, b_J = scores_J[kept_J], band_J[kept_J], a_J[kept_J], b_J[kept_J]
        images, better = self._images_BN, self._better_BN
        images_J = images[band_J, a_J] * images[band_J, b_J] - better[band_J, a_J] * better[band_J, b_J]
        return ImpostorBlock(scores_J, band_J, a_J, b_J, 1 / (images_J * self.terms_B[band_J]))

    def _genuine(self, bands: int) -> GenuinePairs:
        """In chunks of people who have equally many images."""
        first_N = np.searchsorted(self._person_S, np.arange(self.people))
        count_N = np.bincount(self._person_S, minlength=self.people)
        scores, of_band, of_person = [np.empty(0, np.float32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for count in np.unique(count_N[count_N > 1]).tolist():
            a_P, b_P = np.triu_indices(count, 1)
            people = np.flatnonzero(count_N == count)
            size = max(1, _TILE_IMAGES**2 // (count * count + count * self._vectors.shape[1]))
            for start in range(0, len(people), size):
                chunk = people[start : start + size]
                images = first_N[chunk, None] + np.arange(count)
                vectors = self._vectors[as_tensor(images)]
                products = (vectors @ vectors.transpose(1, 2)).numpy()
                scores.append(products[:, a_P, b_P].ravel())
                bands_of = self._band_S[images]
                of_band.append(np.minimum(bands_of[:, a_P], bands_of[:, b_P]).ravel())
                of_person.append(np.repeat(chunk, len(a_P)))
        return GenuinePairs.of(np.concatenate(scores), np.concatenate(of_band), np.concatenate(of_person), bands)


def tile_starts(person_S: IntArray) -> list[int]:
    """Tiles begin with a person, so that all image pairs of two people are in one tile. `person_S` is sorted."""
    first_S = np.flatnonzero(np.diff(person_S, prepend=-1))
    starts = [0]
    for first in first_S.tolist():
        if first - starts[-1] >= _TILE_IMAGES:
            starts.append(first)
    return [*starts, len(person_S)]


def _cross_sum(counts_BN: IntArray) -> IntArray:
    """Σ over i ≠ j of n_i·n_j."""
    return np.asarray(counts_BN.sum(axis=1) ** 2 - (counts_BN**2).sum(axis=1))


def _pairs_of(people: int) -> int:
    return people * (people - 1) // 2


def _marked(person_K: IntArray, people: int) -> BoolArray:
    marked_N = np.zeros(people, bool)
    marked_N[person_K] = True
    return marked_N


def _require_all(found: int, expected: int, whom: str) -> None:
    if found != expected:
        raise DataError(
            f"{counted(found, 'pair')} of people {'is' if found == 1 else 'are'} compared, but everybody with {whom} "
            f"makes {expected:,}: compare the others, too, or pass design='list', whose bound is far weaker"
        )
