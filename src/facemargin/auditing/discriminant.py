"""Several measures as one suspicion: the direction that best separates planted errors from all samples.

Shapes: N samples, M planted ones, F measures.
"""

import numpy as np

from facemargin.auditing.planted import Numbers, Posterior, posterior

_RIDGE = 0.05


def discriminated(measures_NF: Numbers, planted_MF: Numbers) -> Posterior:
    """P(wrong) of every sample, from Fisher's linear discriminant w = (Σ₀ + Σ₁)⁻¹ (μ₁ − μ₀), with a ridge.

    A measure that points the other way than planted errors do by itself is left out: it would be chance."""
    if len(measures_NF) < 2 or len(planted_MF) < 2:
        return Posterior(np.zeros(len(measures_NF)), 0.0)
    middle_F = np.median(measures_NF, axis=0)
    scale_F = np.maximum(measures_NF.std(0) + planted_MF.std(0), 1e-9)
    all_NF, wrong_MF = (measures_NF - middle_F) / scale_F, (planted_MF - middle_F) / scale_F
    difference_F = wrong_MF.mean(0) - all_NF.mean(0)
    scatter_FF = np.cov(all_NF.T).reshape(2 * (len(middle_F),)) + np.cov(wrong_MF.T).reshape(2 * (len(middle_F),))
    direction_F = np.linalg.solve(scatter_FF + _RIDGE * np.eye(len(middle_F)), difference_F)
    direction_F[direction_F * difference_F < 0] = 0
    return posterior(all_NF @ direction_F, wrong_MF @ direction_F)
