"""Embeddings in a file, used as if they were a model. Shapes: N images, D embedding size."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.arrays_file import load_arrays
from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.inference.paths_by_end import PathsByEnd
from facemargin.inference.stored_norms import stored_norms


class EmbeddingsFile:
    """An .npz file with `paths` (N,) text, `embeddings` (N, D) and maybe `norms` (N,) and `quality` (N,), as
    `facemargin embed` and other tools write it (see `stored_norms`). An image is looked up by the end of its path.

    Raises DataError, naming the file, if it is not one, holds values that are not finite, or lacks an image asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            arrays = load_arrays(path)
            paths, features_ND = arrays["paths"], arrays["embeddings"].astype(np.float32)
            quality_N = arrays["quality"].astype(np.float32) if "quality" in arrays else None
            stored_N = arrays["norms"].astype(np.float32) if "norms" in arrays else None
        except Exception as error:  # numpy and zipfile raise a dozen types for damaged archives
            raise DataError(
                f"{path} cannot be read as embeddings (an .npz with arrays paths and embeddings): {error}"
            ) from error
        if features_ND.ndim != 2 or paths.shape != features_ND.shape[:1]:
            raise DataError(f"{path}: {paths.size} paths and embeddings of shape {features_ND.shape} do not fit")
        with np.errstate(over="ignore"):
            lengths_N = np.linalg.norm(features_ND, axis=1)
        norms_N = stored_norms(path, lengths_N, stored_N, paths)
        if quality_N is None:
            quality_N = norms_N
        if quality_N.shape != norms_N.shape:
            raise DataError(f"{path}: {len(paths)} paths and quality of shape {quality_N.shape} do not fit")
        _require_finite(features_ND, f"{path}: the embedding", paths)
        _require_finite(norms_N[:, None], f"{path}: the length of the embedding", paths)
        _require_finite(quality_N[:, None], f"{path}: the quality", paths)
        self._vectors_ND = features_ND / np.where(lengths_N > 0, lengths_N, 1)[:, None]
        self._norms_N, self._quality_N = norms_N, quality_N
        self._paths = PathsByEnd(paths)

    def embed(self, images: ImageSource) -> Embeddings:
        """The stored embeddings of `images`, in their order; quality is what the file says, else the norm."""
        found = [self._find(images.describe(index)) for index in range(len(images))]
        return Embeddings(self._vectors_ND[found], self._norms_N[found], self._quality_N[found])

    def _find(self, name: str) -> int:
        place = self._paths.find(name)
        if place is None:
            raise DataError(
                f"{self.path} holds no embedding of {name}: none of its {len(self._norms_N):,} paths ends as this does"
            )
        return place


def _require_finite(values_NX: NDArray[np.float32], what: str, paths: NDArray[np.str_]) -> None:
    finite_N = np.isfinite(values_NX).all(axis=1)
    if not finite_N.all():
        raise DataError(f"{what} of {paths[int(np.argmin(finite_N))]} is not finite")
