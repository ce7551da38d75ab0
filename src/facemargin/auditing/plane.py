"""Where every image lies by an audit's embeddings: its norm, and the cosines to its own and to the nearest other
centre. Shapes: N images, B of a block, C classes, D embedding size."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from facemargin.auditing.interclass import nearest_other_center
from facemargin.auditing.space import Floats, blocks, class_sums
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.features.store_files import FeatureFiles

EMBEDDINGS = "embeddings"
"""The subfolder of an audit with its embeddings."""


class Plane(NamedTuple):
    """`cosine_N` to the mean of the other images of its label, `gap_N` that less the one to the nearest other mean. NaN
    for an image that cannot be read, has no label, or is the only one of it."""

    norm_N: Floats
    cosine_N: Floats
    gap_N: Floats


def embedded_plane(folder: Path, images: LabeledImages) -> Plane:
    """By the embeddings that are stored in `folder`. Raises DataError if they are not those of all `images`."""
    files = FeatureFiles.there(folder)
    if files.count != len(images) or files.done != files.count:
        raise DataError(
            f"{folder} has embeddings of {files.done:,} of {files.count:,} images, expected those of {len(images):,}"
        )
    features_ND, norms_N, _ = files.checked_arrays()
    readable_N = np.isfinite(norms_N) & (norms_N > 0) & (images.labels >= 0)
    readable_N[list(files.unreadable)] = False
    rows_N, labels_N = np.flatnonzero(readable_N), images.labels[readable_N]
    vectors_ND = np.asarray(features_ND[rows_N] / norms_N[rows_N, None], np.float32)
    counts_C = np.bincount(labels_N, minlength=images.num_identities)
    sums_CD = class_sums(vectors_ND, np.ones(len(rows_N), np.float32), labels_N, images.num_identities)
    cosine_N, gap_N = (np.full(len(images), np.nan, np.float32) for _ in range(2))
    for rows in blocks(len(rows_N)):
        others_BD = sums_CD[labels_N[rows]] - vectors_ND[rows]
        lengths_B = np.linalg.norm(others_BD, axis=1)
        own_B = (others_BD * vectors_ND[rows]).sum(1) / np.maximum(lengths_B, 1e-12)
        cosine_N[rows_N[rows]] = np.where(counts_C[labels_N[rows]] > 1, own_B, np.nan)
    nearest_N = nearest_other_center(vectors_ND, labels_N, images.num_identities, torch.device("cpu"))
    gap_N[rows_N] = cosine_N[rows_N] - nearest_N
    return Plane(np.where(readable_N, norms_N, np.nan).astype(np.float32), cosine_N, gap_N)
