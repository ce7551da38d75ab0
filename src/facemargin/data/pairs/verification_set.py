"""The pairs of images to compare in one-to-one verification.

Shapes: N images, K pairs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.errors import DataError


@dataclass(frozen=True, repr=False)
class VerificationSet:
    """Pairs of images and whether both show the same person.

    Pair k compares images `first_K[k]` and `second_K[k]`; it is genuine if `same_K[k]`. `folds_K` are fold numbers of
    the pairs for k-fold protocols. `identities_N` is the number of the person in each image, and `identity_names` are
    the names of these numbers, if the format has them. Raises DataError if the parts do not fit together.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-2")
        >>> len(pairs.images), int(pairs.same_K.sum()), int((~pairs.same_K).sum())
        (20, 90, 100)
        >>> pairs
        VerificationSet('orl:1-2': 190 pairs of 20 images, 90 of them genuine)
    """

    name: str
    images: ImageSource
    first_K: NDArray[np.int64]
    second_K: NDArray[np.int64]
    same_K: NDArray[np.bool_]
    folds_K: NDArray[np.int64] | None = None
    identities_N: NDArray[np.int64] | None = None
    identity_names: list[str] | None = None

    def __post_init__(self) -> None:
        expected = self.same_K.shape
        for field, values in (("first_K", self.first_K), ("second_K", self.second_K), ("folds_K", self.folds_K)):
            if values is not None and values.shape != expected:
                raise DataError(f"{self.name}: {field} has shape {values.shape}, expected {expected} like same_K")
        for index_K in (self.first_K, self.second_K):
            if len(index_K) and (index_K.min() < 0 or index_K.max() >= len(self.images)):
                raise DataError(
                    f"{self.name}: pairs have image numbers {index_K.min()} to {index_K.max()}, expected 0 to "
                    f"{len(self.images) - 1}"
                )
        if self.identities_N is not None and self.identities_N.shape != (len(self.images),):
            raise DataError(
                f"{self.name}: identities_N has shape {self.identities_N.shape} for "
                f"{counted(len(self.images), 'image')}, expected one per image"
            )

    def __repr__(self) -> str:
        pairs, images = counted(len(self), "pair"), counted(len(self.images), "image")
        return f"VerificationSet({self.name!r}: {pairs} of {images}, {int(self.same_K.sum()):,} of them genuine)"

    def __len__(self) -> int:
        """The number of pairs, K."""
        return len(self.same_K)


def contiguous_folds(num_pairs: int, num_folds: int = 10) -> NDArray[np.int64]:
    """Fold numbers (K,) of consecutive blocks. Their sizes differ by at most one; larger blocks come first."""
    sizes = [len(block) for block in np.array_split(np.arange(num_pairs), num_folds)]
    return np.repeat(np.arange(num_folds, dtype=np.int64), sizes)
