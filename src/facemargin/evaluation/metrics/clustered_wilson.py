"""Estimated intervals of an error rate whose pairs share people: Wilson's, with the variance of clustered pairs.

After R. Fogliato, P. Patil and P. Perona, "Confidence intervals for error rates in 1:1 matching tasks", IJCV 2024
(arXiv 2306.01198): Wilson's score interval with an effective number of pairs n = u(1 − u) / V, V the estimated variance
of the rate u. Every pair of people counts alike here. These intervals are estimates: with few people who have errors
they are too short, and without any error there is none.
"""

import math
from statistics import NormalDist

import numpy as np

from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray


def variance_of_pairs(sum_N: FloatArray, square_sum: float, terms_of_N: IntArray, terms: int, rate: float) -> float:
    """The variance of the mean of h over `terms` pairs of people: with d = h − u,

        V = (Σ_ij d_ij² + max(0, Σ_i Σ_{j≠k} d_ij·d_ik)) / terms²

    From the sum of h over each person's pairs (N,), that of h² over all pairs, and the number of each person's pairs.
    """
    squares = square_sum - terms * rate**2
    of_person_N = sum_N - terms_of_N * rate
    shared = float(of_person_N @ of_person_N) - 2 * squares
    return (squares + max(0.0, shared)) / terms**2


def variance_of_people(share_I: FloatArray) -> float:
    """The variance of the mean of one share per person."""
    return float(np.sum((share_I - share_I.mean()) ** 2)) / len(share_I) ** 2


def wilson_interval(rate: float, variance: float, confidence: float) -> Interval | None:
    """Two-sided. None for a rate of 0 or 1 and without variance, which say nothing about the error of the rate."""
    if not (0 < rate < 1 and variance > 0):
        return None
    pairs = rate * (1 - rate) / variance
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    center = (rate + z**2 / (2 * pairs)) / (1 + z**2 / pairs)
    half = z * math.sqrt(rate * (1 - rate) / pairs + z**2 / (4 * pairs**2)) / (1 + z**2 / pairs)
    return max(0.0, center - half), min(1.0, center + half)
