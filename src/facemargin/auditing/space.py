"""Embeddings with labels, in a space in which people differ and pictures of one person do not.

Vectors are whitened with what is left of them without their person (linear discriminant analysis), which is estimated
from the set itself. Shapes: N images, C classes, D embedding size, B images of a block, K classes of an image, F folds
of classes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

_BLOCK = 8192
# The least share of the mean variance that every direction keeps, however little pictures of one person differ in it.
_SHRINKAGE = 0.3


class LabeledSpace:
    """`vectors_ND` are unit vectors, whitened; `weights_N` what an image counts in its class's centre: its norm.

    `sums_CD` are the classes' sums of weight · vector, `counts_C` their numbers of images, and `members` the images of
    a class. Products with all classes are computed in blocks on `device`."""

    def __init__(
        self, vectors_ND: Floats, norms_N: Floats, labels_N: Integers, num_classes: int, device: torch.device
    ) -> None:
        self.labels_N, self.num_classes, self.device = labels_N, num_classes, device
        self.counts_C = np.bincount(labels_N, minlength=num_classes)
        self._order_N = np.argsort(labels_N, kind="stable")
        self._starts_C = np.concatenate([[0], np.cumsum(self.counts_C)])
        self.weights_N = np.maximum(norms_N / max(float(norms_N.mean()), 1e-12), 1e-6).astype(np.float32)
        (self._whitening,) = whitenings(vectors_ND, labels_N, np.zeros(num_classes, np.int64), 1)
        self.vectors_ND = np.empty_like(vectors_ND, dtype=np.float32)
        for rows in blocks(len(vectors_ND)):
            self.vectors_ND[rows] = self.transformed(vectors_ND[rows])
        self.sums_CD = class_sums(self.vectors_ND, self.weights_N, labels_N, num_classes)

    def __len__(self) -> int:
        return len(self.labels_N)

    def members(self, label: int) -> Integers:
        """The images of a class, ascending."""
        return self._order_N[self._starts_C[label] : self._starts_C[label + 1]]

    def transformed(self, vectors_BD: Floats) -> Floats:
        """Embeddings in this space."""
        return self._whitening.transformed(vectors_BD)

    def centers(self) -> Floats:
        """Unit vectors (C, D); 0 for a class without an image."""
        lengths_C1 = np.maximum(np.linalg.norm(self.sums_CD, axis=1, keepdims=True), 1e-12)
        return np.asarray(self.sums_CD / lengths_C1, np.float32)

    def own_similarity(self) -> Floats:
        """The cosine (N,) of every image to the centre of the others of its class; nan where there is no other."""
        own_N = np.empty(len(self), np.float32)
        for rows in blocks(len(self)):
            own_N[rows] = self.similarity_without(self.vectors_ND[rows], np.arange(len(self))[rows])
        return own_N

    def similarity_without(self, vectors_BD: Floats, images_B: Integers) -> Floats:
        """The cosine (B,) of any vectors to the centres of the classes of `images_B`, which count without them."""
        others_BD = self.sums_CD[self.labels_N[images_B]] - self.weights_N[images_B, None] * self.vectors_ND[images_B]
        lengths_B = np.linalg.norm(others_BD, axis=1)
        cosine_B = (vectors_BD * others_BD).sum(1) / np.maximum(lengths_B, 1e-12)
        return np.where(self.counts_C[self.labels_N[images_B]] > 1, cosine_B, np.nan).astype(np.float32)

    def nearest_classes(self, vectors_MD: Floats, labels_M: Integers | None, k: int) -> tuple[Floats, Integers]:
        """Cosines (M, k) and classes (M, k) of the nearest centres, without those of `labels_M`, nearest first."""
        k = min(k, self.num_classes - (labels_M is not None))
        cosine_MK, class_MK = np.empty((len(vectors_MD), k), np.float32), np.empty((len(vectors_MD), k), np.int64)
        centers_DC = torch.from_numpy(self.centers()).to(self.device).T
        for rows in blocks(len(vectors_MD)):
            cosine_BC = self._on_device(vectors_MD[rows]) @ centers_DC
            if labels_M is not None:
                cosine_BC.scatter_(1, torch.from_numpy(labels_M[rows, None]).to(self.device), -torch.inf)
            values_BK, found_BK = cosine_BC.topk(k, dim=1)
            cosine_MK[rows], class_MK[rows] = values_BK.cpu().numpy(), found_BK.cpu().numpy()
        return cosine_MK, class_MK

    def nearest_pictures(self, label: int, images_B: Integers, k: int) -> tuple[Floats, Integers]:
        """The mean cosine (B,) of images to the `k` most similar images of a class, each without itself, and the most
        similar (B,). nan and −1 where the class has none."""
        members_M = self.members(label)
        if not len(members_M):
            return np.full(len(images_B), np.nan, np.float32), np.full(len(images_B), -1, np.int64)
        members_DM = self._on_device(self.vectors_ND[members_M]).T
        mean_B, nearest_B = np.empty(len(images_B), np.float32), np.empty(len(images_B), np.int64)
        for rows in blocks(len(images_B), max(1, 2**25 // len(members_M))):
            cosine_BM = self._on_device(self.vectors_ND[images_B[rows]]) @ members_DM
            cosine_BM[torch.from_numpy(images_B[rows, None] == members_M).to(self.device)] = -torch.inf
            values_BK, found_BK = cosine_BM.topk(min(k, len(members_M)), dim=1)
            is_one_BK = values_BK.isfinite()
            number_B = is_one_BK.sum(1)
            mean_B[rows] = (values_BK.where(is_one_BK, 0).sum(1) / number_B).cpu().numpy()
            nearest_B[rows] = np.where(number_B.cpu().numpy() > 0, members_M[found_BK[:, 0].cpu().numpy()], -1)
        return mean_B, nearest_B

    def _on_device(self, array: Floats) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def whitenings(vectors_ND: Floats, labels_N: Integers, fold_C: Integers, folds: int) -> list["Whitening"]:
    """For each fold of classes, what whitens them, from all other classes; of one fold, from its own. Every image's
    residual is that to the mean of the others of its class."""
    size, classes = vectors_ND.shape[1], len(fold_C)
    counts_C = np.bincount(labels_N, minlength=classes)
    sums_CD = class_sums(vectors_ND, np.ones(len(vectors_ND), np.float32), labels_N, classes)
    scatter_FDD, number_F = np.zeros((folds, size, size)), np.zeros(folds, np.int64)
    for rows in blocks(len(vectors_ND)):
        labels_B = labels_N[rows]
        several_B = counts_C[labels_B] > 1
        block_BD, labels_B = vectors_ND[rows][several_B], labels_B[several_B]
        residual_BD = block_BD - (sums_CD[labels_B] - block_BD) / (counts_C[labels_B] - 1)[:, None]
        for fold in range(folds):
            of_fold_MD = residual_BD[fold_C[labels_B] == fold]
            scatter_FDD[fold] += of_fold_MD.astype(np.float64).T @ of_fold_MD
            number_F[fold] += len(of_fold_MD)
    found = []
    for fold in range(folds):
        used_F = np.arange(folds) != fold if folds > 1 else np.ones(1, bool)
        used_C = used_F[fold_C]
        mean_D = sums_CD[used_C].sum(0, dtype=np.float64) / max(int(counts_C[used_C].sum()), 1)
        found.append(_whitening(mean_D, scatter_FDD[used_F].sum(0), int(number_F[used_F].sum())))
    return found


class Whitening(NamedTuple):
    """The mean of the whitened vectors, and the matrix that whitens."""

    mean_D: Floats
    whiten_DD: Floats

    def transformed(self, vectors_BD: Floats) -> Floats:
        """Unit vectors in the whitened space."""
        moved_BD = vectors_BD @ self.whiten_DD - self.mean_D
        lengths_B1 = np.maximum(np.linalg.norm(moved_BD, axis=1, keepdims=True), 1e-12)
        return np.asarray(moved_BD / lengths_B1, np.float32)


def _whitening(mean_D: NDArray[np.float64], scatter_DD: NDArray[np.float64], number: int) -> Whitening:
    size = len(mean_D)
    if not number:  # nobody has two pictures: nothing is known of how they differ
        return Whitening(mean_D.astype(np.float32), np.eye(size, dtype=np.float32))
    values_D, directions_DD = np.linalg.eigh(scatter_DD / number)
    shrinkage = max(_SHRINKAGE, size / (size + number / 4))
    values_D = (1 - shrinkage) * np.maximum(values_D, 0) + shrinkage * max(float(values_D.mean()), 1e-12)
    whiten_DD = directions_DD / np.sqrt(values_D)
    return Whitening((mean_D @ whiten_DD).astype(np.float32), whiten_DD.astype(np.float32))


def class_sums(vectors_ND: Floats, weights_N: Floats, labels_N: Integers, num_classes: int) -> Floats:
    """Of every class the sum (C, D) of weight · vector."""
    sums_CD = np.zeros((num_classes, vectors_ND.shape[1]), np.float32)
    for rows in blocks(len(vectors_ND)):
        np.add.at(sums_CD, labels_N[rows], weights_N[rows, None] * vectors_ND[rows])
    return sums_CD


def blocks(number: int, size: int = _BLOCK) -> Iterator[slice]:
    """The rows 0…number−1 in blocks."""
    for start in range(0, number, size):
        yield slice(start, min(start + size, number))
