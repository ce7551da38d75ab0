"""Bootstrap intervals corrected for the bias and the skewness of the resamples.

B. Efron, "Better bootstrap confidence intervals", JASA 1987: with the normal distribution Φ, the share b of resamples
below the figure, z₀ = Φ⁻¹(b) and the acceleration a, the interval is between the quantiles

    Φ(z₀ + (z₀ + z) / (1 − a·(z₀ + z)))   of the resamples, z = Φ⁻¹((1 ∓ confidence) / 2),
    a = Σ d³ / (6·(Σ d²)^1.5),            d = mean of the figures without one person each − that without this person

Shapes: R resamples, S people.
"""

from statistics import NormalDist

import numpy as np

from facemargin.evaluation.metrics.pairs import FloatArray


def bca_tails(tails: tuple[float, float], offset_R: FloatArray, without_S: FloatArray) -> tuple[float, float] | None:
    """The quantiles that bound the interval instead of the `tails`, which bound it if there is neither bias nor
    skewness. None if all resamples are on one side of the figure: the bias is infinite then.

    `offset_R`: resamples less the figure. `without_S`: the figure without each person, NaN where there is none."""
    below = (np.count_nonzero(offset_R < 0) + np.count_nonzero(offset_R == 0) / 2) / max(len(offset_R), 1)
    if not 0 < below < 1:
        return None
    normal, acceleration = NormalDist(), _acceleration(without_S[~np.isnan(without_S)])
    bias = normal.inv_cdf(below)
    shifted = [bias + normal.inv_cdf(tail) for tail in tails]
    low, high = (normal.cdf(bias + z / (1 - acceleration * z)) for z in shifted)
    return low, high


def _acceleration(without_S: FloatArray) -> float:
    if not len(without_S):
        return 0.0
    offset_S = without_S.mean() - without_S
    squares = float(offset_S @ offset_S)
    return float((offset_S**3).sum()) / (6 * squares**1.5) if squares else 0.0
