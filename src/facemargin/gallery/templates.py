"""The template of a person: one vector of several images. Shapes: N images, D size."""

import numpy as np
from numpy.typing import NDArray

from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.pooling import pool_by_quality


def person_template(
    vectors_ND: NDArray[np.float32], quality_N: NDArray[np.float32], by_quality: bool
) -> NDArray[np.float32]:
    """The mean (D,) of unit vectors, weighted by quality or not, of unit length; see `pool_by_quality`. One vector is
    its own template, bit for bit."""
    if len(vectors_ND) == 1:
        return np.array(vectors_ND[0], np.float32)
    template: NDArray[np.float32] = pooled_probe(Embeddings(vectors_ND, quality_N, quality_N), by_quality).vectors[0]
    return template


def pooled_probe(embeddings: Embeddings, by_quality: bool) -> Embeddings:
    """The embeddings of several images of one person as one."""
    group_N = np.zeros(len(embeddings), np.int64)
    if by_quality:
        return pool_by_quality(embeddings, group_N)
    alike = np.ones(len(embeddings), np.float32)
    pooled = pool_by_quality(Embeddings(embeddings.vectors, alike, alike), group_N)
    norm, quality = (np.array([values.mean()], np.float32) for values in (embeddings.norms, embeddings.quality))
    return Embeddings(pooled.vectors, norm, quality)
