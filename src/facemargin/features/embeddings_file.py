"""Reads embeddings from a file, which then replaces a model. Shapes: N images, D embedding size."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.paths_by_end import PathsByEnd
from facemargin.features.stored_norms import stored_norms
from facemargin.files.npz import load_arrays

logger = logging.getLogger(__name__)


class EmbeddingsFile:
    """An .npz file with `paths` (N,) as text, `embeddings` (N, D) and, optionally, `norms` (N,) and `quality` (N,), as
    `facemargin embed` and other tools write it (see `stored_norms`). Images are found by the end of their paths (see
    `PathsByEnd`).

    Raises DataError, which names the file, if it is not such a file, contains a path twice or values that are not
    finite, or does not have a requested image or only zeros for it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            arrays = load_arrays(path)
            if not {"paths", "embeddings"} <= arrays.keys():
                raise ValueError(f"it has the arrays {', '.join(arrays) or 'none'}")
            paths = _texts(arrays["paths"])
            features_ND = _numbers("embeddings", arrays["embeddings"])
            quality_N = _numbers("quality", arrays["quality"]).astype(np.float32) if "quality" in arrays else None
            stored_N = _numbers("norms", arrays["norms"]).astype(np.float32) if "norms" in arrays else None
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(
                f"{path} cannot be read as embeddings (an .npz with arrays paths and embeddings): {error}"
            ) from error
        if features_ND.ndim != 2 or paths.shape != features_ND.shape[:1]:
            raise DataError(
                f"{path}: {counted(paths.size, 'path')} and embeddings of shape {features_ND.shape} do not fit; "
                "expected (N, D), one row per path"
            )
        lengths_N = np.linalg.norm(features_ND, axis=1)
        with np.errstate(over="ignore"):
            norms_N = stored_norms(path, lengths_N.astype(np.float32), stored_N, paths)
        if quality_N is None:
            quality_N = norms_N
        if quality_N.shape != norms_N.shape:
            raise DataError(
                f"{path}: {counted(len(paths), 'path')} and quality of shape {quality_N.shape} do not fit; expected "
                "one number per path"
            )
        _require_finite(features_ND, f"{path}: the embedding", paths)
        _require_finite(norms_N[:, None], f"{path}: the length of the embedding", paths)
        _require_finite(quality_N[:, None], f"{path}: the quality", paths)
        self._vectors_ND = (features_ND / np.where(lengths_N > 0, lengths_N, 1)[:, None]).astype(np.float32)
        self._norms_N, self._quality_N = norms_N, quality_N
        self._paths = PathsByEnd(paths.tolist(), path)

    def embed(self, images: ImageSource) -> Embeddings:
        """The stored embeddings of `images`, in their order. The quality is that in the file, or else the norm."""
        found_N = self._paths.find(images, "embedding")
        vectors_ND = self._vectors_ND[found_N]
        zero_N = ~vectors_ND.any(axis=1)
        if zero_N.any():
            raise DataError(
                f"{self.path}: the embedding of {images.describe(int(np.argmax(zero_N)))} is all zeros, which has "
                f"no direction ({np.count_nonzero(zero_N):,} of {counted(len(images), 'image')})"
            )
        if len(images) > 1 and (vectors_ND == vectors_ND[0]).all():
            logger.warning("%s: the embeddings of all %d images are the same", self.path, len(images))
        return Embeddings(vectors_ND, self._norms_N[found_N], self._quality_N[found_N])


def _texts(paths: NDArray[Any]) -> NDArray[np.str_]:
    """The paths as text. They may be bytes in UTF-8. Raises ValueError for anything else."""
    if paths.dtype.kind == "S":
        paths = np.array([path.decode("utf-8", errors="surrogateescape") for path in paths.ravel()]).reshape(
            paths.shape
        )
    if paths.dtype.kind != "U" and paths.size:
        raise ValueError(f"paths are {paths.dtype}, expected text")
    return paths.astype(np.str_)


def _numbers(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    if values.dtype.kind not in "fiu":
        raise ValueError(f"{name} are {values.dtype}, expected real numbers")
    return values.astype(np.float64)


def _require_finite(values_NX: NDArray[Any], what: str, paths: NDArray[np.str_]) -> None:
    finite_N = np.isfinite(values_NX).all(axis=1)
    if not finite_N.all():
        raise DataError(f"{what} of {paths[int(np.argmin(finite_N))]} is not finite")
