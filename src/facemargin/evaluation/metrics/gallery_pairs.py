"""Images of people compared with a fixed gallery, as pairs of people.

The rate is the mean over the people who are not enrolled; for each, the mean over the enrolled people of the share of
the image pairs, in one band of quality, that are in error. The gallery is fixed, so that people alone are drawn, and
each is an independent term.

Shapes: S probe images, T gallery images, N people of both, J pairs of one block, B bands of quality from the poorest
up, R and C images of a tile.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.metrics.person_pairs import GenuinePairs, ImpostorBlock, tile_starts
from facemargin.evaluation.metrics.tensors import as_tensor


class _Images:
    """Images in the order of their people, how many of them each person has in a band or a better one, and in a better
    one."""

    def __init__(
        self, vectors_SD: NDArray[np.float32], person_S: IntArray, band_S: IntArray, shape: tuple[int, int]
    ) -> None:
        order_S = np.argsort(person_S, kind="stable")
        self.vectors = as_tensor(np.ascontiguousarray(vectors_SD[order_S]))
        self.person_S, self.band_S = person_S[order_S], band_S[order_S]
        in_band_BN = np.zeros(shape, np.int64)
        np.add.at(in_band_BN, (band_S, person_S), 1)
        self.images_BN = in_band_BN[::-1].cumsum(axis=0)[::-1]
        self.better_BN = self.images_BN - in_band_BN


class EmbeddedGallery:
    """Probe images compared with all images of a gallery by the cosines of their vectors, which are computed when they
    are needed, tile by tile. `left_out`: the pairs of enrolled people with others of the gallery."""

    def __init__(
        self,
        probes: tuple[NDArray[np.float32], IntArray, IntArray],
        gallery: tuple[NDArray[np.float32], IntArray, IntArray],
        people: int,
        bands: int,
    ) -> None:
        """probes, gallery: vectors, people and bands of the images."""
        self.people, self.low, self.high = people, -1.0, 1.0
        self._gallery = _Images(*gallery, (bands, people))
        enrolled_N = np.bincount(gallery[1], minlength=people) > 0
        enrolled_S = enrolled_N[probes[1]]
        if enrolled_S.all():
            raise DataError(
                f"{_all_people(len(np.unique(probes[1])))} in the gallery, too; an FMR needs people who are not "
                "enrolled"
            )
        vectors_SD, person_S, band_S = probes
        others_S = ~enrolled_S
        self._others = _Images(vectors_SD[others_S], person_S[others_S], band_S[others_S], (bands, people))
        own = _Images(vectors_SD[enrolled_S], person_S[enrolled_S], band_S[enrolled_S], (bands, people))
        in_gallery_N = np.bincount(gallery[1], minlength=people)
        self.left_out = int((len(gallery[1]) - in_gallery_N[own.person_S]).sum())
        self._enrolled_BN = self._compared()
        self.terms_of_BN = (self._enrolled_BN > 0).astype(np.int64)
        self.people_B = self.terms_B = self.units_B = self.terms_of_BN.sum(axis=1)
        at_least_B, better_B = (
            counts_BN.sum(axis=1) * of_gallery_BN.sum(axis=1)
            for counts_BN, of_gallery_BN in (
                (self._others.images_BN, self._gallery.images_BN),
                (self._others.better_BN, self._gallery.better_BN),
            )
        )
        self.pairs_B = at_least_B - better_B
        self.genuine = self._genuine(own, bands)

    def _compared(self) -> IntArray:
        """With how many enrolled people each of the others has an image pair in a band."""
        others, gallery = self._others, self._gallery
        at_least_B1 = np.count_nonzero(gallery.images_BN, axis=1)[:, None]
        exactly_B1 = np.count_nonzero(gallery.images_BN > gallery.better_BN, axis=1)[:, None]
        has_one_BN = others.images_BN > others.better_BN
        return np.asarray(np.where(has_one_BN, at_least_B1, np.where(others.images_BN > 0, exactly_B1, 0)))

    def impostor_blocks(self, lowest_B: FloatArray) -> Iterator[ImpostorBlock]:
        rows, columns = tile_starts(self._others.person_S), tile_starts(self._gallery.person_S)
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                yield self._tile(slice(top, bottom), slice(left, right), lowest_B)

    def _tile(self, rows: slice, columns: slice, lowest_B: FloatArray) -> ImpostorBlock:
        others, gallery = self._others, self._gallery
        scores_RC = (others.vectors[rows] @ gallery.vectors[columns].T).numpy()
        row_J, column_J = np.nonzero(scores_RC >= lowest_B.min())
        scores_J = scores_RC[row_J, column_J]
        a_J, b_J = others.person_S[rows][row_J], gallery.person_S[columns][column_J]
        band_J = np.minimum(others.band_S[rows][row_J], gallery.band_S[columns][column_J])
        kept_J = scores_J >= lowest_B[band_J]
        scores_J, a_J, b_J, band_J = scores_J[kept_J], a_J[kept_J], b_J[kept_J], band_J[kept_J]
        images_J = others.images_BN[band_J, a_J] * gallery.images_BN[band_J, b_J]
        images_J -= others.better_BN[band_J, a_J] * gallery.better_BN[band_J, b_J]
        terms_J = self._enrolled_BN[band_J, a_J] * self.terms_B[band_J]
        return ImpostorBlock(scores_J, band_J, a_J, b_J, 1 / (images_J * terms_J))

    def _genuine(self, own: _Images, bands: int) -> GenuinePairs:
        """Each image of an enrolled person with that person's images in the gallery."""
        gallery = self._gallery
        scores, of_band, of_person = [np.empty(0, np.float32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for person in np.unique(own.person_S).tolist():
            a, b = (slice(*np.searchsorted(images.person_S, (person, person + 1))) for images in (own, gallery))
            scores.append((own.vectors[a] @ gallery.vectors[b].T).numpy().ravel())
            of_band.append(np.minimum(own.band_S[a, None], gallery.band_S[b]).ravel())
            of_person.append(np.full(scores[-1].shape, person, np.int64))
        return GenuinePairs.of(np.concatenate(scores), np.concatenate(of_band), np.concatenate(of_person), bands)


def _all_people(people: int) -> str:
    return "the only person of the probes is" if people == 1 else f"all {people:,} people of the probes are"
