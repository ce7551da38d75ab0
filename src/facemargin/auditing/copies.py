"""The same picture twice. Shapes: N images, D embedding size, P pairs of images, M planted copies."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.auditing.discriminant import discriminated
from facemargin.auditing.planted import Numbers
from facemargin.auditing.registration import Registration, correlation, small_gray
from facemargin.auditing.space import Floats, Integers, LabeledSpace, blocks
from facemargin.data.overlap import NEAR_DUPLICATE_BITS
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import ImageError

NEIGHBORS = 4
"""How many of the most similar images of every image are compared with it."""

# Above so many multiplications, neighbours are looked for among the images of the labels that an image fits only.
_MOST_PRODUCTS = {"cpu": 3e13, "cuda": 3e16}
_SURE = 0.9999
_LEAST_PAIRS = 500

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Copies:
    """Pairs of images (P, 2) that may show the same picture, with their probabilities (P,), the `correlation_P` of
    their grey values laid over each other, and whether one is mirrored. `everywhere`: whether every image was compared
    with all others."""

    pairs_P2: Integers
    probability_P: Numbers
    correlation_P: Numbers
    mirrored_P: NDArray[np.bool_]
    everywhere: bool


def copies(
    space: LabeledSpace,
    images: ImageSource,
    planted: tuple[Floats, Integers, list[RGBImage]],
    fitting_N: Integers,
    progress: Progress | None = None,
) -> Copies:
    """The nearest neighbours of every image, laid over it. `planted`: vectors of planted copies, the images that they
    are copies of, and the copies. `fitting_N`: the image of another label that is most like each, or −1.

    Neighbours that are less alike than 99 % of planted copies are passed over, but for the 500 most alike: without
    pairs that are no copies nothing could be told of those that are. What is left is judged by cosine and correlation,
    together."""
    copy_MD, original_M, pictures = planted
    copy_cosine_M = np.einsum("md,md->m", space.transformed(copy_MD), space.vectors_ND[original_M])
    everywhere = len(space) ** 2 * float(space.vectors_ND.shape[1]) <= _MOST_PRODUCTS[space.device.type]
    pairs_P2 = _neighbors(space) if everywhere else _neighbors_by_label(space, fitting_N)
    cosine_P = np.einsum("pd,pd->p", space.vectors_ND[pairs_P2[:, 0]], space.vectors_ND[pairs_P2[:, 1]])
    least = np.quantile(copy_cosine_M, 0.01) if len(copy_cosine_M) else np.inf
    least = min(least, np.sort(cosine_P)[-_LEAST_PAIRS:].min(initial=np.inf))
    pairs_P2, cosine_P = pairs_P2[cosine_P >= least], cosine_P[cosine_P >= least]
    registration = Registration(images)
    correlation_P, mirrored_P = _laid_over(registration, pairs_P2, progress)
    correlation_M = np.array(
        [
            correlation(small_gray(images.read(int(row))), small_gray(picture))[0]
            for row, picture in zip(original_M, pictures, strict=True)
        ]
    )
    found = discriminated(_measures(cosine_P, correlation_P), _measures(copy_cosine_M, correlation_M))
    return Copies(pairs_P2, found.probability_N, correlation_P, mirrored_P, everywhere)


def _measures(cosine_P: Floats, correlation_P: Numbers) -> Numbers:
    """On scales on which nearly 1 and 1 differ."""
    both = np.stack([cosine_P.astype(np.float64), correlation_P], axis=1)
    return -np.log(1 - np.clip(both, -1, 1) * _SURE)


def copies_by_pictures(images: ImageSource, hashes_N32: NDArray[np.uint8], rows_N: Integers) -> Copies:
    """Without embeddings: pictures whose difference hashes, also mirrored, differ in at most 20 of 256 bits, laid over
    each other. The probability is the correlation's, which no pair of different people's pictures was seen to reach
    with .98 (benchmarks/results/audit_labels.md)."""
    pairs_P2 = near_hashes(hashes_N32)
    correlation_P, mirrored_P = _laid_over(Registration(images), rows_N[pairs_P2], None)
    logit_P = 4 * (-np.log(1 - np.clip(correlation_P, -1, 1) * _SURE) + np.log(1 - 0.98))
    return Copies(pairs_P2, 1 / (1 + np.exp(-logit_P)), correlation_P, mirrored_P, True)


def near_hashes(hashes_N32: NDArray[np.uint8]) -> Integers:
    """Pairs (P, 2) whose hashes, or those of one mirrored, differ in at most NEAR_DUPLICATE_BITS."""
    bits_NF = np.unpackbits(hashes_N32, axis=1).astype(np.float32) * 2 - 1
    side = round(np.sqrt(bits_NF.shape[1]))
    mirrored_NF = -bits_NF.reshape(-1, side, side)[:, :, ::-1].reshape(len(bits_NF), -1)
    least, pairs = bits_NF.shape[1] - 2 * NEAR_DUPLICATE_BITS, [np.empty((0, 2), np.int64)]
    for rows in blocks(len(bits_NF), 1024):
        for other_NF in (bits_NF, mirrored_NF):
            i, j = np.nonzero(bits_NF[rows] @ other_NF.T >= least)
            i = i + rows.start
            pairs.append(np.stack([i, j], axis=1)[i < j])
    return np.unique(np.concatenate(pairs), axis=0)


def _laid_over(
    registration: Registration, pairs_P2: Integers, progress: Progress | None
) -> tuple[Numbers, NDArray[np.bool_]]:
    correlation_P, mirrored_P = np.full(len(pairs_P2), -1.0), np.zeros(len(pairs_P2), bool)
    for number, (first, second) in enumerate(pairs_P2.tolist()):
        try:
            correlation_P[number], mirrored_P[number] = registration.alike(first, second)
        except (ImageError, cv2.error):  # the file went away since it was embedded
            continue
        if progress is not None:
            progress(number + 1, len(pairs_P2))
    return correlation_P, mirrored_P


def _neighbors(space: LabeledSpace) -> Integers:
    """Pairs (P, 2), the smaller number first, of every image and the most similar of all others."""
    number = len(space)
    k = min(NEIGHBORS, number - 1)
    found_NK = np.empty((number, k), np.int64)
    all_DN = torch.from_numpy(space.vectors_ND).to(space.device).T
    for rows in blocks(number, max(1, 2**26 // number)):
        cosine_BN = all_DN.T[rows] @ all_DN
        cosine_BN[torch.arange(rows.stop - rows.start), torch.arange(rows.start, rows.stop)] = -torch.inf
        found_NK[rows] = cosine_BN.topk(k, dim=1).indices.cpu().numpy()
    return _unordered(np.repeat(np.arange(number), k), found_NK.ravel())


def _neighbors_by_label(space: LabeledSpace, fitting_N: Integers) -> Integers:
    first, second = [np.arange(len(space))], [fitting_N]
    for label in range(space.num_classes):
        members = space.members(label)
        k = min(NEIGHBORS, len(members) - 1)
        if k > 0:
            members_MD = torch.from_numpy(space.vectors_ND[members]).to(space.device)
            cosine_MM = (members_MD @ members_MD.T).fill_diagonal_(-torch.inf)
            first.append(np.repeat(members, k))
            second.append(members[cosine_MM.topk(k, dim=1).indices.cpu().numpy()].ravel())
    return _unordered(np.concatenate(first), np.concatenate(second))


def _unordered(first: Integers, second: Integers) -> Integers:
    pairs_P2 = np.sort(np.stack([first, second], axis=1)[second >= 0], axis=1)
    return np.unique(pairs_P2, axis=0)
