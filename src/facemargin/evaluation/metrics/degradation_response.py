"""Whether quality falls when faces are degraded step by step.

Shapes: M kinds of degradation, L faces, S strengths.
"""

import numpy as np
from numpy.typing import ArrayLike

from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, sample_intervals
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray


def strength_correlations(quality_MLS: FloatArray, strengths: ArrayLike) -> FloatArray:
    """(M, L): Spearman's ρ of the S qualities of one face with the `strengths` (S,), which ascend: −1 where quality
    falls with every step. Equal qualities share the mean of their ranks; a face whose quality never changes has ρ = 0,
    because its quality does not follow the degradation."""
    ranks_MLS = (quality_MLS[..., :, None] > quality_MLS[..., None, :]).sum(-1) + 0.5 * (
        quality_MLS[..., :, None] == quality_MLS[..., None, :]
    ).sum(-1)
    ranks_MLS = ranks_MLS - ranks_MLS.mean(axis=-1, keepdims=True)
    steps_S = np.argsort(np.argsort(np.asarray(strengths))).astype(np.float64)
    steps_S -= steps_S.mean()
    length_ML = np.sqrt((ranks_MLS**2).sum(-1) * (steps_S**2).sum())
    covariance_ML = ranks_MLS @ steps_S
    correlation_ML: FloatArray = covariance_ML / np.where(length_ML > 0, length_ML, 1)
    return correlation_ML


def mean_correlations(
    correlation_ML: FloatArray, identities_L: IntArray, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> tuple[FloatArray, list[Interval | None]]:
    """The means over the faces, (M,), and their intervals by resampling identities (of faces without people, each face
    is its own). An interval of width zero is None."""

    def means(weights_L: IntArray) -> list[float]:
        return list(correlation_ML @ weights_L / weights_L.sum())

    return correlation_ML.mean(axis=1), sample_intervals(means, identities_L, bootstrap)
