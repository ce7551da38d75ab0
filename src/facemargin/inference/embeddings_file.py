"""Embeddings that another tool has written, used as if they were a model. Shapes: N images, D embedding size."""

from pathlib import Path

import numpy as np

from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.evaluation.embeddings import Embeddings


class EmbeddingsFile:
    """An .npz file with `paths` (N,) text and `embeddings` (N, D); an image is looked up by the end of its path.

    Raises DataError, naming the file, if it is not one, holds values that are not finite, or lacks an image asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with np.load(path, allow_pickle=False) as archive:
                paths, features_ND = archive["paths"], archive["embeddings"].astype(np.float32)
        except Exception as error:  # numpy and zipfile raise a dozen types for damaged archives
            raise DataError(
                f"{path} cannot be read as embeddings (an .npz with arrays paths and embeddings): {error}"
            ) from error
        if features_ND.ndim != 2 or len(paths) != len(features_ND):
            raise DataError(f"{path}: {len(paths)} paths and embeddings of shape {features_ND.shape} do not fit")
        unusable_N = ~np.isfinite(features_ND).all(axis=1)
        if unusable_N.any():
            raise DataError(f"{path}: the embedding of {paths[int(np.argmax(unusable_N))]} is not finite")
        self._features_ND = features_ND
        self._index = {str(name): index for index, name in enumerate(paths)}

    def embed(self, images: ImageSource) -> Embeddings:
        """The stored embeddings of `images`, in their order; quality is the norm."""
        features_ND = self._features_ND[[self._find(images.describe(index)) for index in range(len(images))]]
        norms_N = np.linalg.norm(features_ND, axis=1)
        vectors_ND = features_ND / np.where(norms_N > 0, norms_N, 1)[:, None]
        return Embeddings(vectors=vectors_ND, norms=norms_N, quality=norms_N)

    def _find(self, name: str) -> int:
        parts = Path(name).parts
        for start in range(len(parts)):
            index = self._index.get("/".join(parts[start:]))
            if index is not None:
                return index
        raise DataError(f"{self.path} holds no embedding of {name}")
