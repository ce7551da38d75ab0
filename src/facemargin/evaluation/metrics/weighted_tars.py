"""A weighted sum of systems' TARs at a FAR: in every resample of people, and its variance without their bias.

With the weights 1 and −1 it is the difference of two systems, with 1/S and −1/S that of the means of S trainings each.
The unbiased variance and that among resamples are comparable to first order only (`paired_difference` says why).

Shapes: R resamples, F FARs.
"""

from collections.abc import Sequence

import numpy as np

from facemargin.evaluation.metrics.pair_variance import Accepted
from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.resampled_tar import ResampledTars
from facemargin.evaluation.metrics.shared_pairs import SharedPairs, SystemRates

Weighted = Sequence[tuple[float, SystemRates]]
"""Systems on the same pairs with their weights."""

_SMALLEST_SCALE = 3**-0.5
"""The resamples' variance is at most three times too large; an estimate that says more is off, as with few people."""


def resampled_sum(place: int, systems: Weighted) -> FloatArray:
    """The sum in each resample (R,); NaN for one without pairs of both kinds."""
    return np.asarray(sum(weight * system.resampled.tar_RF[:, place] for weight, system in systems))


def unbiased_variance(place: int, shared: SharedPairs, systems: Weighted) -> float:
    """The variance of the sum for other people; NaN with fewer than four people, perhaps negative with few."""
    genuine_S = sum(weight * system.genuine_FS[place].astype(np.float64) for weight, system in systems)
    accepted = [
        Accepted(*system.accepted[place], slope=-weight * _roc_slope(system.resampled, place))
        for weight, system in systems
    ]
    return shared.graph.variance(np.asarray(genuine_S), accepted)


def variance_scale(place: int, systems: Weighted, unbiased: float) -> float:
    """√(unbiased variance / variance among resamples), both to first order. 1 if either is not positive."""
    linear_R = np.asarray(sum(weight * _linear(system.resampled, place) for weight, system in systems))
    linear_R = linear_R[~np.isnan(linear_R)]
    variance = float(np.var(linear_R, ddof=1)) if len(linear_R) > 1 else 0.0
    return max(_SMALLEST_SCALE, float(np.sqrt(unbiased / variance))) if unbiased > 0 and variance > 0 else 1.0


def _linear(resampled: ResampledTars, place: int) -> FloatArray:
    """The TAR in each resample to first order: at the sample's threshold, and as far as the FAR there moves it."""
    return np.asarray(
        resampled.fixed_tar_RF[:, place] - _roc_slope(resampled, place) * resampled.fixed_far_RF[:, place]
    )


def _roc_slope(resampled: ResampledTars, place: int) -> float:
    """By how much the TAR changes with the FAR around its cut: least squares over the resamples, in which the threshold
    had to move because the FAR at the sample's threshold was another."""
    far_R, moved_R = (
        resampled.fixed_far_RF[:, place],
        resampled.tar_RF[:, place] - resampled.fixed_tar_RF[:, place],
    )
    known_R = ~np.isnan(moved_R)
    if not known_R.any():
        return 0.0
    offset_R = far_R[known_R] - far_R[known_R].mean()
    squares = float(offset_R @ offset_R)
    return max(0.0, -float(offset_R @ moved_R[known_R]) / squares) if squares else 0.0
