"""Determines the meaning of the norms that are stored with embeddings. Shapes: N images."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError

logger = logging.getLogger(__name__)

# Relative tolerance of lengths. Half precision is more accurate than this.
_TOLERANCE = 1e-2


def stored_norms(
    path: Path, lengths_N: NDArray[np.floating], norms_N: NDArray[np.floating] | None, paths: NDArray[np.str_]
) -> NDArray[np.floating]:
    """The norms of the features, given the lengths of the stored embeddings and the stored norms.

    Usually embeddings are unit vectors, and norms are stored separately. Without stored norms, the lengths are used.
    Files of an earlier facemargin have unnormalised features, whose lengths equal the norms; this is logged. Raises
    DataError, which names the file and the first image, if neither is the case, or if norms are not finite, not
    positive or not one per embedding.
    """
    if norms_N is None:
        return lengths_N
    if norms_N.shape != lengths_N.shape:
        raise DataError(
            f"{path}: {counted(len(paths), 'path')} and norms of shape {norms_N.shape} do not fit; expected one norm "
            "per path"
        )
    if not np.isfinite(norms_N).all():
        raise DataError(f"{path}: the norm of {paths[int(np.argmin(np.isfinite(norms_N)))]} is not finite")
    some_N = lengths_N > 0
    if _close(lengths_N, 1.0)[some_N].all():
        wrong_N = some_N & (norms_N <= 0)
        if wrong_N.any():
            raise DataError(
                f"{path}: the norm of {paths[int(np.argmax(wrong_N))]} is {norms_N[wrong_N][0]:g}, expected a "
                "positive length; if norms are not known, leave them out of the file"
            )
        return norms_N
    fits_N = ~some_N | _close(lengths_N, norms_N)
    if fits_N.all():
        logger.info("%s: the embeddings are not unit vectors; their lengths are the norms, as in older files", path)
        return lengths_N
    wrong = int(np.argmin(fits_N))
    raise DataError(
        f"{path}: the embedding of {paths[wrong]} has the length {lengths_N[wrong]:.4g}, but the stored norm "
        f"{norms_N[wrong]:.4g}; expected unit vectors with the norms of the original features, or vectors with "
        "these norms"
    )


def _close(lengths_N: NDArray[np.floating], expected: NDArray[np.floating] | float) -> NDArray[np.bool_]:
    return np.abs(lengths_N - expected) <= _TOLERANCE * np.abs(expected)
