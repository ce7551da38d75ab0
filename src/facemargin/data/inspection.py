"""Describes the content of a training set after reading all of it. Shapes: N images, C identities."""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.images.decode import decode_image
from facemargin.data.source import LabeledImages
from facemargin.errors import ImageError

_REPORT_EVERY = 32
_DIGEST_BYTES = 16


@dataclass(frozen=True)
class Duplicates:
    """`groups`: lists of indices of images that are the same. `across`: for each group, whether its images have
    different identities."""

    groups: list[list[int]]
    across: list[bool]

    @property
    def num_superfluous(self) -> int:
        """The number of images that would be removed if one of each group were kept."""
        return sum(map(len, self.groups)) - len(self.groups)

    @property
    def num_across(self) -> int:
        return sum(self.across)


@dataclass(frozen=True)
class Inspection:
    """`images_per_identity_C`: the number of readable images. `sizes`: {(height, width): number of images}. `corrupt`:
    {index of an image: its error}. `same_bytes`: images with equal bytes. `same_pixels`: images with equal pixels."""

    images_per_identity_C: NDArray[np.int64]
    sizes: Counter[tuple[int, int]]
    corrupt: dict[int, str]
    same_bytes: Duplicates
    same_pixels: Duplicates


def inspect_images(source: LabeledImages, report: Callable[[int, int], None]) -> Inspection:
    """Read and decode every image, one at a time. `report` is called with the number of finished and of all images."""
    sizes: Counter[tuple[int, int]] = Counter()
    corrupt: dict[int, str] = {}
    stored_N = np.zeros(len(source), dtype=f"V{_DIGEST_BYTES}")
    pixels_N = np.zeros(len(source), dtype=f"V{_DIGEST_BYTES}")
    for index in range(len(source)):
        try:
            encoded = source.read_encoded(index)
            image = decode_image(encoded, source.describe(index))
        except ImageError as error:
            corrupt[index] = str(error)
        else:
            height, width = image.shape[:2]
            sizes[height, width] += 1
            stored_N[index] = _digest(encoded)
            pixels_N[index] = _digest(height.to_bytes(8, "little") + image.tobytes())
        if index % _REPORT_EVERY == 0:
            report(index, len(source))
    readable_N = np.ones(len(source), dtype=bool)
    readable_N[list(corrupt)] = False
    return Inspection(
        images_per_identity_C=np.bincount(source.labels[readable_N], minlength=source.num_identities),
        sizes=sizes,
        corrupt=corrupt,
        same_bytes=_duplicates(stored_N, readable_N, source.labels),
        same_pixels=_duplicates(pixels_N, readable_N, source.labels),
    )


def _digest(content: bytes) -> Any:
    return np.void(hashlib.blake2b(content, digest_size=_DIGEST_BYTES).digest())


def _duplicates(digest_N: NDArray[Any], readable_N: NDArray[np.bool_], labels_N: NDArray[np.int64]) -> Duplicates:
    indices = np.flatnonzero(readable_N)
    words = digest_N[indices].view("<u8").reshape(-1, 2)
    order = np.lexsort((indices, words[:, 1], words[:, 0]))
    new = np.ones(len(order), dtype=bool)
    new[1:] = (words[order][1:] != words[order][:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    ends = np.append(starts[1:], len(order))
    several = ends - starts > 1
    pairs = zip(starts[several], ends[several], strict=True)
    groups = sorted(indices[order[start:end]].tolist() for start, end in pairs)
    return Duplicates(groups, [len(set(labels_N[group].tolist())) > 1 for group in groups])
