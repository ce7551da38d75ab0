"""How well clusters of images agree with the people in them. Shapes: N images, C clusters, P people, K cells."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.errors import DataError


@dataclass(frozen=True)
class Agreement:
    """Precision, recall, and `f`, their harmonic mean, from 0 to 1.

    Examples:
        >>> import facemargin as fm
        >>> round(fm.evaluation.Agreement(precision=0.5, recall=1.0).f, 3)
        0.667
    """

    precision: float
    recall: float

    @property
    def f(self) -> float:
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True)
class ClusteringScores:
    """`b_cubed`: of an image, precision is the share of its cluster that shows the same person, recall the share of the
    person's images that are in its cluster, itself included; their means over all images. `pairwise`: precision is the
    share of the pairs within clusters that show one person, recall the share of the pairs of one person that are within
    a cluster; NaN where there are no such pairs. Large clusters count quadratically in it.

    Examples:
        >>> import facemargin as fm
        >>> found = fm.evaluation.clustering_scores(["Ann", "Ann", "Bob"], [0, 0, 1])
        >>> found.b_cubed.f, found.images, found.clusters, found.people
        (1.0, 3, 2, 2)
    """

    b_cubed: Agreement
    pairwise: Agreement
    images: int
    clusters: int
    people: int


def clustering_scores(people: ArrayLike, clusters: ArrayLike) -> ClusteringScores:
    """Compare `clusters` (N,) with the `people` (N,) on the images: integers or names, of which only equality counts.

    B-cubed as in Amigó et al., Information Retrieval 12 (2009), and the pairwise F of the face clustering literature.
    Raises DataError for arrays of different lengths, other shapes, and no image.

    Examples:
        >>> import facemargin as fm
        >>> found = fm.evaluation.clustering_scores(["Ann", "Ann", "Ann", "Bob"], [0, 0, 1, 1])
        >>> found.b_cubed
        Agreement(precision=0.75, recall=0.6666666666666666)
        >>> round(found.pairwise.f, 2)
        0.4
    """
    people_N, clusters_N = np.asarray(people), np.asarray(clusters)
    if people_N.ndim != 1 or people_N.shape != clusters_N.shape or not len(people_N):
        raise DataError(
            f"people have the shape {people_N.shape}, clusters {clusters_N.shape}; expected (N,) twice, and an image"
        )
    person_N, cluster_N = _numbered(people_N), _numbered(clusters_N)
    images, num_clusters = len(person_N), int(cluster_N.max()) + 1
    cells_K, together_K = np.unique(person_N * num_clusters + cluster_N, return_counts=True)
    of_person_K = np.bincount(person_N)[cells_K // num_clusters]
    of_cluster_K = np.bincount(cluster_N)[cells_K % num_clusters]
    right = _pairs(together_K)
    return ClusteringScores(
        Agreement(
            float((together_K**2 / of_cluster_K).sum() / images), float((together_K**2 / of_person_K).sum() / images)
        ),
        Agreement(_share(right, _pairs(np.bincount(cluster_N))), _share(right, _pairs(np.bincount(person_N)))),
        images,
        num_clusters,
        int(person_N.max()) + 1,
    )


def _numbered(values_N: NDArray[np.generic]) -> NDArray[np.int64]:
    numbers_N: NDArray[np.int64] = np.unique(values_N, return_inverse=True)[1].astype(np.int64)
    return numbers_N


def _pairs(sizes: NDArray[np.int64]) -> int:
    return int((sizes.astype(np.int64) * (sizes - 1) // 2).sum())


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
