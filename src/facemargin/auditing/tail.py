"""Probabilities where planted errors lie far beyond ordinary samples, and errors are few.

Between the two there may be nothing: then how often errors were observed says little of how likely one of them is, but
how steeply ordinary samples end says much. Shapes: N samples, M planted ones, A samples above the median, G points.
"""

import numpy as np

from facemargin.auditing.planted import SLOPE, SUREST, Numbers, bandwidth, logistic, posterior

_POINTS = 2001
_ROUNDS = 200
_ENOUGH = 1e-4
_LEAST = 1e-12


def tail_posterior(suspicion_N: Numbers, planted_M: Numbers) -> Numbers:
    """P(wrong | suspicion) (N,) = π f₁ / (π f₁ + π₀ f₀), which rises strictly; 0 where nothing is planted.

    f₁ is the density of planted errors. f₀, of ordinary samples, is taken to fall exponentially above the median of
    all: they end no more slowly than that, as far as was seen. Its mean and the number of errors are estimated by
    expectation–maximisation, begun with `posterior`; one more error than is there is counted: there may be one."""
    if not len(suspicion_N) or not len(planted_M):
        return np.zeros(len(suspicion_N))
    middle = float(np.median(suspicion_N))
    above_N = suspicion_N > middle
    if not above_N.any():
        return np.zeros(len(suspicion_N))
    excess_A = suspicion_N[above_N] - middle
    spread = float(np.std(suspicion_N))
    top = max(float(suspicion_N.max()), float(planted_M.max()))
    points_G = np.linspace(middle, top, _POINTS)
    density_G = _log_density(points_G, planted_M, max(bandwidth(planted_M), 0.05 * spread))
    density_A = np.interp(suspicion_N[above_N], points_G, density_G)
    wrong_A = posterior(suspicion_N, planted_M).probability_N[above_N]

    def logit(density: Numbers, excess: Numbers) -> Numbers:
        ordinary_A = 1 - wrong_A
        mean = float((ordinary_A * excess_A).sum() / ordinary_A.sum())
        more = np.log((wrong_A.sum() + 1) / ordinary_A.sum()) + np.log(mean)
        return np.asarray(density + more + excess / mean)

    for _ in range(_ROUNDS):
        before_A, wrong_A = wrong_A, np.minimum(logistic(logit(density_A, excess_A)), SUREST)
        if np.abs(wrong_A - before_A).max() < _ENOUGH:
            break
    rising_G = np.maximum.accumulate(logit(density_G, points_G - middle))
    logit_N = np.clip(np.interp(suspicion_N, points_G, rising_G), np.log(_LEAST), np.log(SUREST / (1 - SUREST)))
    return logistic(logit_N + SLOPE * (suspicion_N - top) / spread)


def _log_density(points_G: Numbers, planted_M: Numbers, width: float) -> Numbers:
    """The logarithm of a sum of normal distributions of this width around what was planted."""
    exponent_GM = -0.5 * ((points_G[:, None] - planted_M) / width) ** 2
    highest_G = exponent_GM.max(1)
    sum_G = np.exp(exponent_GM - highest_G[:, None]).sum(1)
    return np.asarray(highest_G + np.log(sum_G / (len(planted_M) * width * np.sqrt(2 * np.pi))))
