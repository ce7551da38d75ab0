"""Pools the vectors of several images of a person, such as the frames of a video, into one. Shapes: N images, G groups,
D size."""

import numpy as np
from numpy.typing import NDArray

from facemargin.evaluation.embeddings import Embeddings


def pool_by_quality(embeddings: Embeddings, group_N: NDArray[np.int64]) -> Embeddings:
    """The embeddings of groups 0 to G − 1, each with at least one image, as means weighted by quality.

    The weights are w = max(quality, 0), or equal if all are 0. The vector of a group is Σ w·vector / Σ w, normalised to
    unit length; its norm and quality are the weighted means of those of its images.
    """
    count = int(group_N.max()) + 1
    weight_N = np.maximum(embeddings.quality.astype(np.float64), 0)
    total_G = np.bincount(group_N, weight_N, count)
    weight_N = np.where(total_G[group_N] > 0, weight_N, 1)
    share_N = weight_N / np.bincount(group_N, weight_N, count)[group_N]
    mean_GD = np.zeros((count, embeddings.vectors.shape[1]))
    np.add.at(mean_GD, group_N, share_N[:, None] * embeddings.vectors)
    lengths_G = np.linalg.norm(mean_GD, axis=1)
    return Embeddings(
        vectors=(mean_GD / np.where(lengths_G > 0, lengths_G, 1)[:, None]).astype(np.float32),
        norms=np.bincount(group_N, share_N * embeddings.norms, count).astype(np.float32),
        quality=np.bincount(group_N, share_N * embeddings.quality, count).astype(np.float32),
    )
