"""Groups embeddings by person, without names. Shapes: N images, D values, C clusters, E pairs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics.inputs import as_numbers
from facemargin.extras import require_extra

Method = Literal["average", "leiden"]

LARGEST_AVERAGE = 20_000
"""The most images that are clustered with all their pairs at hand: 3.2 GB."""
_BELOW = 0.15
_MOST_PAIRS = 150_000_000
_ROWS = 4096


@dataclass(frozen=True)
class Clusters:
    """`numbers` (N,): the cluster of every image, 0 is that of the most images. `sizes` (C,): how many there are.
    `threshold` and `method`: how they were made.

    Examples:
        >>> import facemargin as fm
        >>> found = fm.cluster([[0.0, 1.0], [1.0, 0.0], [0.9, 0.1]], threshold=0.5)
        >>> found.numbers, found.sizes, found.method
        (array([1, 0, 0]), array([2, 1]), 'average')
    """

    numbers: NDArray[np.int64]
    sizes: NDArray[np.int64]
    threshold: float
    method: Method

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def alone(self) -> int:
        """The number of images that are in no cluster with another."""
        return int((self.sizes == 1).sum())


def cluster(
    vectors: ArrayLike | Embeddings,
    threshold: float,
    *,
    method: Method | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Clusters:
    """Group the images of `vectors` (N, D), or of `Embeddings`, so that each cluster shows one person.

    Two groups are one if the mean cosine between the images of one and of the other is `threshold` or more. `method`
    "average" joins the two nearest groups again and again (average linkage, of SciPy, exact). "leiden" maximizes the
    sum of cosine − threshold over all pairs within clusters (the constant Potts model of Traag et al., Physical Review
    E 84, 2011, by scikit-network's Leiden algorithm), for more images than have room with all their pairs. The default
    is average up to 20,000 images. `progress` is called with the rows of pairs done and all.

    Raises DataError for vectors that are no finite numbers or have no length, and ConfigError for a threshold that is
    no cosine, for too many images, and if scipy or scikit-network are missing (the extra "cluster").

    Examples:
        >>> import facemargin as fm
        >>> found = fm.cluster([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], threshold=0.5)
        >>> found.numbers, len(found), found.alone
        (array([0, 0, 1]), 2, 1)
    """
    if not -1 < threshold <= 1:
        raise ConfigError(f"threshold is {threshold}, expected a cosine above -1, up to 1")
    unit_ND = _unit(as_numbers("vectors", vectors.vectors if isinstance(vectors, Embeddings) else vectors))
    chosen: Method = method or ("average" if len(unit_ND) <= LARGEST_AVERAGE else "leiden")
    if chosen == "average" and len(unit_ND) > LARGEST_AVERAGE:
        raise ConfigError(
            f"average linkage takes up to {LARGEST_AVERAGE:,} images, because it holds all their pairs; these are "
            f'{len(unit_ND):,}: use the method "leiden"'
        )
    if chosen == "average":
        require_extra("cluster", "scipy", what="average linkage")
    else:
        require_extra("cluster", "scipy", "sknetwork", what="Leiden's algorithm")
        if threshold <= 0:
            raise ConfigError(f"threshold is {threshold}, expected above 0 for Leiden's algorithm")
    group = _average if chosen == "average" else _leiden
    found_N = np.zeros(len(unit_ND), np.int64) if len(unit_ND) < 2 else group(unit_ND, threshold, progress)
    numbers_N, sizes_C = _largest_first(found_N)
    return Clusters(numbers_N, sizes_C, threshold, chosen)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.number):
        raise DataError(f"vectors have the shape {vectors.shape} of {vectors.dtype}, expected (N, D) numbers")
    norms_N = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad_N = ~(np.isfinite(norms_N) & (norms_N > 0))
    if bad_N.any():
        raise DataError(
            f"vector {int(np.argmax(bad_N))} (and {counted(int(bad_N.sum()) - 1, 'other')}) is not finite or has no "
            "length, so it has no direction: leave it out"
        )
    unit: NDArray[np.float32] = (vectors / norms_N[:, None]).astype(np.float32)
    return unit


def _average(
    unit_ND: NDArray[np.float32], threshold: float, progress: Callable[[int, int], None] | None
) -> NDArray[np.int64]:
    from scipy.cluster import hierarchy

    count = len(unit_ND)
    distance_E = np.empty(count * (count - 1) // 2)
    place = 0
    for start in range(0, count, _ROWS):
        block = 1 - unit_ND[start : start + _ROWS] @ unit_ND.T
        for row in range(len(block)):
            others = block[row, start + row + 1 :]
            distance_E[place : place + len(others)] = others
            place += len(others)
        if progress is not None:
            progress(min(start + _ROWS, count), count)
    np.maximum(distance_E, 0, out=distance_E)
    tree = hierarchy.linkage(distance_E, "average")
    found: NDArray[np.int64] = hierarchy.fcluster(tree, 1 - threshold, "distance").astype(np.int64)
    return found


def _leiden(
    unit_ND: NDArray[np.float32], threshold: float, progress: Callable[[int, int], None] | None
) -> NDArray[np.int64]:
    """Pairs more than `_BELOW` below the threshold count as of cosine 0: they hardly ever are within a cluster."""
    from scipy.sparse import csr_matrix
    from sknetwork.clustering import Leiden

    count, lowest = len(unit_ND), max(threshold - _BELOW, 1e-3)
    parts: list[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]] = []
    found = 0
    for start in range(0, count, _ROWS):
        block = unit_ND[start : start + _ROWS] @ unit_ND[start:].T
        row_E, column_E = np.nonzero(block >= lowest)
        later_E = column_E > row_E
        row_E, column_E = row_E[later_E], column_E[later_E]
        parts.append(((row_E + start).astype(np.int32), (column_E + start).astype(np.int32), block[row_E, column_E]))
        found += len(row_E)
        if found > _MOST_PAIRS:
            raise ConfigError(
                f"more than {_MOST_PAIRS:,} pairs of images have a cosine of {lowest:.3g} or more: raise the "
                "threshold, or cluster the images in parts"
            )
        if progress is not None:
            progress(min(start + _ROWS, count), count)
    row_E, column_E, cosine_E = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not len(row_E):
        return np.arange(count)
    graph = csr_matrix((cosine_E.astype(np.float64), (row_E, column_E)), shape=(count, count))
    graph = graph + graph.T
    # scikit-network divides the constant of the Potts model by count² over the sum of weights
    resolution = threshold * count**2 / graph.sum()
    leiden = Leiden(resolution=resolution, modularity="potts", random_state=0)
    numbers: NDArray[np.int64] = leiden.fit_predict(graph).astype(np.int64)
    return numbers


def _largest_first(found_N: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cluster numbers by size, of equal sizes in the order of their first image; and the sizes."""
    _, first_C, number_N, size_C = np.unique(found_N, return_index=True, return_inverse=True, return_counts=True)
    order_C = np.lexsort((first_C, -size_C))
    place_C = np.empty_like(order_C)
    place_C[order_C] = np.arange(len(order_C))
    return place_C[number_N].astype(np.int64), size_C[order_C].astype(np.int64)
