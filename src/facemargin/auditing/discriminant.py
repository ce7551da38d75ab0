"""Several measures as one suspicion: the direction that best separates planted errors from all samples.

Every measure is higher the more suspicious a sample is. Shapes: N samples, M planted ones, F measures.
"""

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.planted import Numbers, Posterior, posterior

_RIDGE = 0.05


def discriminated(measures_NF: Numbers, planted_MF: Numbers) -> Posterior:
    """P(wrong) of every sample, from Fisher's linear discriminant w = (Σ₀ + Σ₁)⁻¹ (μ₁ − μ₀), with a ridge.

    A weight below 0 is chance, and 0: errors that are plainer than the planted ones must not seem right for it."""
    if len(measures_NF) < 2 or len(planted_MF) < 2:
        return Posterior(np.zeros(len(measures_NF)), 0.0)
    middle_F = np.median(measures_NF, axis=0)
    scale_F = np.maximum(measures_NF.std(0) + planted_MF.std(0), 1e-9)
    all_NF, wrong_MF = (measures_NF - middle_F) / scale_F, (planted_MF - middle_F) / scale_F
    direction_F = np.maximum(_direction(all_NF, wrong_MF), 0)
    if not direction_F.any():  # planted errors are not plainer than the samples: most of these are errors themselves
        direction_F = np.ones_like(direction_F)
    return posterior(all_NF @ direction_F, wrong_MF @ direction_F)


def likelier_second(measures_NF: Numbers, first_MF: Numbers, second_MF: Numbers) -> NDArray[np.bool_]:
    """Which samples (N,) are nearer to the planted errors of a second kind than to those of a first, by the
    discriminant of the two."""
    if len(first_MF) < 2 or len(second_MF) < 2:
        return np.zeros(len(measures_NF), bool)
    scale_F = np.maximum(first_MF.std(0) + second_MF.std(0), 1e-9)
    first_MF, second_MF, measures_NF = first_MF / scale_F, second_MF / scale_F, measures_NF / scale_F
    direction_F = _direction(first_MF, second_MF)
    # A measure that points the other way than by itself is chance.
    direction_F[direction_F * (second_MF.mean(0) - first_MF.mean(0)) < 0] = 0
    middle = ((first_MF.mean(0) + second_MF.mean(0)) / 2) @ direction_F
    return np.asarray(measures_NF @ direction_F > middle)


def _direction(first_NF: Numbers, second_MF: Numbers) -> Numbers:
    difference_F = second_MF.mean(0) - first_NF.mean(0)
    size = len(difference_F)
    scatter_FF = np.cov(first_NF.T).reshape(size, size) + np.cov(second_MF.T).reshape(size, size)
    return np.asarray(np.linalg.solve(scatter_FF + _RIDGE * np.eye(size), difference_F))
