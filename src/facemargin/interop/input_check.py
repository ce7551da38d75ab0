"""Tests whether one input convention of a model is better than another by more than chance. Shapes: K pairs.

Both see the same pairs, so only those count that one decides rightly and the other wrongly. If neither way were better,
each of these n pairs would fall to either side like a coin (McNemar's exact test):

    p = min(1, 2 · Σ_{i ≤ min(b, c)} (n choose i) / 2^n),   n = b + c
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.01
"""The probability of chance below which one way is better than the other."""

_FEWEST = 8
"""So many heads of as many tosses are rarer than LEVEL."""
_MOST_PAIRS = 100_000
_FARTHEST_BY_CHANCE = (
    5.0  # a split of less than √5 deviations is never rarer than LEVEL (2.58 in a normal distribution)
)
_NEGLIGIBLE = 1e-20


@dataclass(frozen=True)
class InputCheck:
    """The two ways' accuracies, and the probability that chance makes them differ as much. only_declared, only_other:
    the pairs that one way alone decides rightly, of `pairs`."""

    declared: float
    other: float
    probability_of_chance: float
    only_declared: int
    only_other: int
    pairs: int

    @property
    def better(self) -> str:
        """ "declared", "other", or "" where these pairs cannot tell."""
        if self.probability_of_chance >= LEVEL:
            return ""
        return "declared" if self.declared > self.other else "other"

    def pairs_needed(self) -> int | None:
        """At least so many pairs of this kind can tell; None where more than 100,000 would be needed.

        Of few that decide differently, three more are assumed (the 95 % limit where there is none), all for the same
        side; from eight on, they are divided as in these pairs.
        """
        different, larger = self.only_declared + self.only_other, max(self.only_declared, self.only_other)
        few = different < _FEWEST
        rate, share = (different + 3 if few else different) / self.pairs, 1.0 if few else larger / different
        for needed in range(_FEWEST, _MOST_PAIRS):
            if needed / rate > _MOST_PAIRS:
                return None
            side = math.ceil(share * needed)
            if (2 * side - needed) ** 2 < _FARTHEST_BY_CHANCE * needed:
                continue
            if sign_test(side, needed - side) < LEVEL:
                return max(math.ceil(needed / rate), self.pairs + 1)
        return None


def compare_inputs(
    declared_K: NDArray[np.float64], other_K: NDArray[np.float64], same_K: NDArray[np.bool_]
) -> InputCheck:
    """Compare the scores of K pairs got in two ways, each at its own most accurate threshold; `same_K` is True for
    genuine pairs."""
    right_K, other_right_K = decisions(declared_K, same_K) == same_K, decisions(other_K, same_K) == same_K
    only_declared = int(np.count_nonzero(right_K & ~other_right_K))
    only_other = int(np.count_nonzero(other_right_K & ~right_K))
    chance = sign_test(only_declared, only_other)
    return InputCheck(
        float(right_K.mean()), float(other_right_K.mean()), chance, only_declared, only_other, len(same_K)
    )


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
    n, i = b + c, min(b, c)
    term = math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2))
    terms = [term]
    while i > 0 and term > _NEGLIGIBLE * terms[0]:  # from the largest down, each by its ratio to the one before
        term *= i / (n - i + 1)
        i -= 1
        terms.append(term)
    return min(1.0, 2 * math.fsum(terms))
