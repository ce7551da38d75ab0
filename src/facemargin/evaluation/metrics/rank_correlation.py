"""Measures whether two measures put images in the same order. Shapes: N images, M measures."""

import numpy as np
from numpy.typing import ArrayLike

from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_numbers
from facemargin.evaluation.metrics.pairs import FloatArray


def spearman_correlation(measures: ArrayLike) -> FloatArray:
    """Spearman's ρ between the rows of `measures` (M, N): Pearson's correlation of their ranks, where equal values get
    the mean of their ranks. The result is (M, M), with NaN for a measure that is the same for all images. Raises
    DataError for values that are not finite or fewer than two images."""
    values_MN = np.atleast_2d(as_numbers("measures", measures).astype(np.float64))
    if values_MN.ndim != 2 or values_MN.shape[1] < 2:
        raise DataError(f"measures have shape {values_MN.shape}, expected (M, N) with at least two images")
    if not np.isfinite(values_MN).all():
        raise DataError(f"measure {int(np.argmin(np.isfinite(values_MN).all(axis=1)))} has values that are not finite")
    ranks_MN = np.stack([_ranks(values_N) for values_N in values_MN])
    ranks_MN -= ranks_MN.mean(axis=1, keepdims=True)
    length_M = np.sqrt((ranks_MN**2).sum(axis=1))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation_MM: FloatArray = ranks_MN @ ranks_MN.T / np.outer(length_M, length_M)
    return correlation_MM.clip(-1, 1)


def _ranks(values_N: FloatArray) -> FloatArray:
    """Ranks from 1; equal values get the mean of their ranks."""
    _, place_N, counts = np.unique(values_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks_N: FloatArray = (last - (counts - 1) / 2)[place_N]
    return ranks_N
