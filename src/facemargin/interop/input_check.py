"""Tests whether one input convention of a model is better than another by more than chance. Shapes: K pairs.

Both see the same pairs, so only those count that one decides rightly and the other wrongly. If neither way were better,
each of these n pairs would fall to either side like a coin (McNemar's exact test):

    p = min(1, 2 · Σ_{i ≤ min(b, c)} (n choose i) / 2^n),   n = b + c
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class InputCheck:
    """The two ways' accuracies, and the probability that chance makes them differ as much."""

    declared: float
    other: float
    probability_of_chance: float


def compare_inputs(
    declared_K: NDArray[np.float64], other_K: NDArray[np.float64], same_K: NDArray[np.bool_]
) -> InputCheck:
    """Compare the scores of K pairs got in two ways, each at its own most accurate threshold; `same_K` is True for
    genuine pairs."""
    right_K, other_right_K = decisions(declared_K, same_K) == same_K, decisions(other_K, same_K) == same_K
    only_declared = int(np.count_nonzero(right_K & ~other_right_K))
    only_other = int(np.count_nonzero(other_right_K & ~right_K))
    return InputCheck(float(right_K.mean()), float(other_right_K.mean()), sign_test(only_declared, only_other))


def decisions(scores_K: NDArray[np.float64], same_K: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which pairs are accepted at the threshold that decides most of them rightly, (K,)."""
    order_K = np.argsort(scores_K, kind="stable")
    votes_K = np.where(same_K[order_K], 1, -1)
    # gain_K1[i]: how many more are right when those from the i-th score on are accepted than when none is
    gain_K1 = np.append(np.cumsum(votes_K[::-1])[::-1], 0)
    sorted_K = scores_K[order_K]
    cuts = np.flatnonzero(np.concatenate([[True], np.diff(sorted_K) > 0, [True]]))  # equal scores stay together
    best = int(cuts[np.argmax(gain_K1[cuts])])
    accepted_K = np.zeros(len(scores_K), dtype=np.bool_)
    accepted_K[order_K[best:]] = True
    return accepted_K


def sign_test(b: int, c: int) -> float:
    """The two-sided probability of a split at least as uneven as b and c of b + c tosses of a coin."""
    n = b + c
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(min(b, c) + 1)]
    return min(1.0, 2 * math.fsum(math.exp(value - n * math.log(2)) for value in logs))
