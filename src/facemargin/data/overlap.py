"""Finds people and images of a training set in a test set, which would make the test results too good.

Shapes: N images, F bits of fingerprint.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, LabeledImages, RGBImage
from facemargin.errors import ImageError
from facemargin.files.unicode_names import one_form

FINGERPRINT_SIDE = 16
NEAR_DUPLICATE_BITS = 20
"""Near duplicates differ in at most this number of the 256 bits. On aligned 112 × 112 faces, 95% of re-encoded (JPEG
quality 75), brightened or rescaled copies differ in 10 bits or fewer, and the closest of 38 million pairs of unrelated
faces in 28."""

_CHUNK = 4096


@dataclass(frozen=True)
class IdentityOverlap:
    """The people and images that a training set and a test set share. `str()` describes them in a sentence.

    `shared_names`: people whose names are in both sets; None if one of the sets has no names. `same_pixels` and
    `near_duplicates`: descriptions (training image, test image); no pair is in both; None if images were not compared.
    `num_corrupt` images could not be compared.
    """

    train: str
    test: str
    shared_names: list[str] | None
    same_pixels: list[tuple[str, str]] | None = None
    near_duplicates: list[tuple[str, str]] | None = None
    num_corrupt: int = 0

    @property
    def any_shared(self) -> bool:
        """Whether anything is shared."""
        return bool(self.shared_names or self.same_pixels or self.near_duplicates)

    def __str__(self) -> str:
        if self.shared_names is None:
            names = "names were not compared (one of the sets has no names)"
        else:
            names = f"{counted(len(self.shared_names), 'person', 'people')} by name{_examples(self.shared_names)}"
        if self.same_pixels is None or self.near_duplicates is None:
            images = "images were not compared"
        else:
            pairs = [f"{train} = {test}" for train, test in self.same_pixels + self.near_duplicates]
            images = (
                f"{counted(len(self.same_pixels), 'pair')} of identical images and {len(self.near_duplicates)} of near "
                "duplicates"
                f" ({NEAR_DUPLICATE_BITS} of {FINGERPRINT_SIDE**2} bits of difference hash){_examples(pairs)}"
            )
        corrupt = f"; {self.num_corrupt} corrupt images left out" if self.num_corrupt else ""
        return f"shared between {self.train} (training) and {self.test} (test): {names}; {images}{corrupt}"


def identity_overlap(
    train: LabeledImages, test: VerificationSet | LabeledImages, compare_images: bool = True
) -> IdentityOverlap:
    """Find people with the same name (ignoring case and separators) and the same pictures, cropped equally, in both
    sets.

    `compare_images` reads every image of both sets once, which takes seconds for thousands and many minutes for
    millions.
    """
    test_images = test.images if isinstance(test, VerificationSet) else test
    shared_names = _shared_names(train, test)
    if not compare_images:
        return IdentityOverlap(train.name, test.name, shared_names)
    seen_train, seen_test = _fingerprints(train), _fingerprints(test_images)
    same: list[tuple[str, str]] = []
    near: list[tuple[str, str]] = []
    for i, j in _near_pairs(seen_train.hashes_NF, seen_test.hashes_NF):
        pair = train.describe(seen_train.indices[i]), test_images.describe(seen_test.indices[j])
        (same if seen_train.digests[i] == seen_test.digests[j] else near).append(pair)
    num_corrupt = len(train) - len(seen_train.indices) + len(test_images) - len(seen_test.indices)
    return IdentityOverlap(train.name, test.name, shared_names, same, near, num_corrupt)


def difference_hash(image: RGBImage) -> NDArray[np.int8]:
    """(F,) of ±1: whether each of 16 × 16 grey areas is brighter than its left neighbour (known as "dHash")."""
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, (FINGERPRINT_SIDE + 1, FINGERPRINT_SIDE), interpolation=cv2.INTER_AREA)
    return np.where(small[:, 1:] > small[:, :-1], 1, -1).astype(np.int8).ravel()


class _Fingerprints(NamedTuple):
    """For the N readable images: index, digest of the pixels, difference hash."""

    indices: list[int]
    digests: list[bytes]
    hashes_NF: NDArray[np.int8]


def _fingerprints(images: ImageSource) -> _Fingerprints:
    indices, digests, hashes = [], [], [np.empty((0, FINGERPRINT_SIDE**2), np.int8)]
    for index in range(len(images)):
        try:
            image = images.read(index)
        except ImageError:
            continue
        indices.append(index)
        digests.append(hashlib.blake2b(np.array(image.shape).tobytes() + image.tobytes()).digest())
        hashes.append(difference_hash(image)[None])
    return _Fingerprints(indices, digests, np.concatenate(hashes))


def _near_pairs(first_NF: NDArray[np.int8], second_NF: NDArray[np.int8]) -> list[tuple[int, int]]:
    """Rows (i, j) that differ in at most NEAR_DUPLICATE_BITS. The product of two ±1 vectors is F − 2 × differing
    bits."""
    least = first_NF.shape[1] - 2 * NEAR_DUPLICATE_BITS
    second_FN = second_NF.T.astype(np.float32)
    pairs = []
    for start in range(0, len(first_NF), _CHUNK):
        i, j = np.nonzero(first_NF[start : start + _CHUNK].astype(np.float32) @ second_FN >= least)
        pairs += list(zip((i + start).tolist(), j.tolist(), strict=True))
    return pairs


def _shared_names(train: LabeledImages, test: VerificationSet | LabeledImages) -> list[str] | None:
    has_names = train.has_names and (isinstance(test, VerificationSet) or test.has_names)
    if not has_names or test.identity_names is None:
        return None
    test_names = {_plain(name) for name in test.identity_names}
    return [name for name in train.identity_names if _plain(name) in test_names]


def _plain(name: str) -> str:
    return "".join(character for character in one_form(name).casefold() if character.isalnum())


def _examples(items: list[str]) -> str:
    return f" ({', '.join(items[:3])}{', …' if len(items) > 3 else ''})" if items else ""
