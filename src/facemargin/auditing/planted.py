"""Probabilities without a threshold of anybody's choosing: planted errors tell what errors look like.

Some samples are made wrong on purpose, and the suspicion of each is measured as that of all samples is. Where planted
ones are as frequent as the share of errors in the set would make them, a sample is as likely wrong as not. (The idea of
a fake class is AUM's: Pleiss et al., NeurIPS 2020, arXiv 2001.10528, which takes one threshold from it.)

Shapes: N samples, M planted ones, J blocks of equal density.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LISTED = 0.05
"""Findings with at least this probability are listed."""

# The share of planted errors above the suspicions at which the errors of the set are counted: fewer would be chance,
# more would count what is merely unusual.
_SHARES = np.linspace(0.3, 0.9, 13)
SUREST = 0.999
"""No sample is surer than this."""
SLOPE = 0.01
"""An order among equally sure samples, too small to change what a probability says."""


# The quantiles of a standard normal distribution at 1/18, 3/18, …, 17/18.
_NORMAL = np.array([NormalDist().inv_cdf((2 * k + 1) / 18) for k in range(9)])


@dataclass(frozen=True)
class Posterior:
    """`probability_N` that a sample is wrong; it rises strictly with the suspicion. `share`: how many are, of all."""

    probability_N: Numbers
    share: float


def posterior(suspicion_N: Numbers, planted_M: Numbers) -> Posterior:
    """P(wrong | suspicion) = π f₁ / f: f is the density of all suspicions and f₁ that of planted ones.

    f₁ / f comes from isotonic regression of which is which: it is taken to rise. The share of errors is bounded by
    π ≤ F̄(s) / F̄₁(s), the share of samples above a suspicion by that of planted ones, and
    taken as its lower quartile over s."""
    if not len(suspicion_N) or not len(planted_M):
        return Posterior(np.zeros(len(suspicion_N)), 0.0)
    planted_M = _smoothed(planted_M)
    share = _share_wrong(suspicion_N, planted_M)
    knots_J, ratio_J = _density_ratio(suspicion_N, planted_M)
    likely_J = np.clip(share * ratio_J, 1e-12, SUREST)
    scale = max(float(np.std(suspicion_N)), 1e-6)
    logit_N = np.interp(suspicion_N, knots_J, np.log(likely_J / (1 - likely_J)))
    logit_N += SLOPE * (suspicion_N - knots_J[-1]) / scale
    return Posterior(logistic(logit_N), share)


def logistic(logit_N: Numbers) -> Numbers:
    """The probability of a logit, of any size."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit_N, -700, 700))))


def _smoothed(planted_M: Numbers) -> Numbers:
    """Every planted suspicion as nine of a normal distribution around it: a few tell little of what lies between and
    beyond them."""
    return np.asarray((planted_M[:, None] + bandwidth(planted_M) * _NORMAL).ravel())


def bandwidth(planted_M: Numbers) -> float:
    """Silverman's deviation for a density from so many."""
    return float(1.06 * planted_M.std() * len(planted_M) ** -0.2)


def _share_wrong(suspicion_N: Numbers, planted_M: Numbers) -> float:
    cuts = np.quantile(planted_M, 1 - _SHARES)
    # One more than are there: of what has not been seen, there may be one.
    above = 1 - (np.searchsorted(np.sort(suspicion_N), cuts) - 1) / len(suspicion_N)
    planted_above = 1 - np.searchsorted(np.sort(planted_M), cuts) / len(planted_M)
    return float(np.quantile(above / planted_above, 0.25))


def _density_ratio(suspicion_N: Numbers, planted_M: Numbers) -> tuple[Numbers, Numbers]:
    """f₁ / f at ascending suspicions."""
    values = np.concatenate([suspicion_N, planted_M])
    is_planted = np.concatenate([np.zeros(len(suspicion_N)), np.ones(len(planted_M))])
    order = np.lexsort((is_planted, values))
    weights = np.where(is_planted[order] > 0, 1 / len(planted_M), 1 / len(suspicion_N))
    at_J, planted_J, weight_J = _isotonic(values[order], is_planted[order], weights)
    # No block is free of observed samples for certain: half a one may be missing.
    observed_J = np.maximum(weight_J - planted_J, 0.5 / len(suspicion_N))
    return at_J, np.maximum.accumulate(planted_J / observed_J)


def _isotonic(values: Numbers, is_planted: Numbers, weights: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Blocks of the pool-adjacent-violators algorithm: mean value, weight of the planted, weight of all."""
    blocks: list[list[float]] = []  # value · weight, planted weight, weight
    for value, planted, weight in zip(values.tolist(), is_planted.tolist(), weights.tolist(), strict=True):
        block = [value * weight, planted * weight, weight]
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:
            before = blocks.pop()
            block = [a + b for a, b in zip(before, block, strict=True)]
        blocks.append(block)
    sums_K3 = np.array(blocks)
    return sums_K3[:, 0] / sums_K3[:, 2], sums_K3[:, 1], sums_K3[:, 2]
