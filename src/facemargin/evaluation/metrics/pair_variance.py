"""The variance of rates that are means over pairs of people, without the bias of the bootstrap.

A resample of people draws pairs, too, but pairs of one person with themselves cannot be drawn for what they are. The
variance among resamples therefore contains the part that belongs to single pairs up to three times: among people whose
pairs are nearly independent, it is up to 2.7 times too large. For the mean of h_ij over all pairs of N people,

    Var = [4(N − 2)·ζ₁ + 2ζ₂] / (N(N − 1)),   ζ₁ = E h_ij·h_ik − E h_ij·h_kl,   ζ₂ = E h_ij² − E h_ij·h_kl

(W. Hoeffding, "A class of statistics with asymptotically normal distribution", Ann. Math. Statist. 1948), and the
expectations are means over pairs of pairs, which follow from sums over people, d_i = Σ_j h_ij, without a loop.

A TAR at a FAR depends on the impostors through its threshold. To first order (R. R. Bahadur, "A note on quantiles in
large samples", Ann. Math. Statist. 1966), its error is that of the TAR at a fixed threshold less κ times that of the
FAR there, where κ is the slope of the ROC. So the error of a difference of TARs is a mean over people (genuine pairs)
and a mean over pairs of people (impostors), and its variance the sum of theirs and twice their covariance.

Shapes: K pairs, S people, N accepted impostors, P pairs of people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.metrics.resampled_tar import PeoplePairs, pair_counts

FEWEST_PEOPLE = 4
"""E h_ij·h_kl needs four people."""


@dataclass(frozen=True)
class Accepted:
    """The people of the impostors that a system accepts, and `slope`, by how much its FAR changes the figure."""

    code_a_N: IntArray
    code_b_N: IntArray
    slope: float


class PairGraph:
    """How many pairs there are of each person and of each two people."""

    def __init__(self, pairs: PeoplePairs) -> None:
        impostor_K = np.flatnonzero(~pairs.same_K)
        a_K, b_K = pairs.code_a_K[impostor_K], pairs.code_b_K[impostor_K]
        self.people, self.impostors = pairs.people, len(a_K)
        self._degree_S = self._per_person(a_K, b_K)
        self.genuine_S = np.bincount(pairs.code_a_K[pairs.same_K], minlength=pairs.people)
        self._key_P, self._count_P = self._counted(a_K, b_K)
        self._squares = float(np.square(self._count_P, dtype=np.float64).sum())

    def variance(self, genuine_S: FloatArray, accepted: Sequence[Accepted]) -> float:
        """The unbiased variance of Σ genuine_S / genuine pairs + Σ slope · FAR of the `accepted`. It may be negative if
        the people are few. NaN with fewer than four.

        `genuine_S` is what the genuine pairs of each person add to the figure."""
        n = self.people
        if n < FEWEST_PEOPLE:
            return float("nan")
        rate = sum(system.slope * len(system.code_a_N) for system in accepted) / self.impostors
        degree_S = sum(
            (system.slope * self._per_person(system.code_a_N, system.code_b_N) for system in accepted),
            start=-rate * self._degree_S,
        )
        squares, square_of_degrees = self._sum_of_squares(accepted, rate), float(degree_S @ degree_S)
        # every h is less the mean, so that all of them add up to 0
        shared = (square_of_degrees - 2 * squares) / (n * (n - 1) * (n - 2))
        disjoint = 4 * (squares - square_of_degrees) / (n * (n - 1) * (n - 2) * (n - 3))
        own = 2 * squares / (n * (n - 1))
        of_impostors = (4 * (n - 2) * (shared - disjoint) + 2 * (own - disjoint)) / (n * (n - 1))
        centered_S = genuine_S - genuine_S.sum() / self.genuine_S.sum() * self.genuine_S
        of_genuine = float(centered_S @ centered_S) / (n * (n - 1))
        crossed = float(centered_S @ degree_S)
        together = 2 / n * (crossed / (n * (n - 1)) + 2 * crossed / (n * (n - 1) * (n - 2)))
        per_pair, per_person = 2 * self.impostors / (n * (n - 1)), self.genuine_S.sum() / n
        return float(of_genuine / per_person**2 + of_impostors / per_pair**2 + 2 * together / (per_person * per_pair))

    def _sum_of_squares(self, accepted: Sequence[Accepted], rate: float) -> float:
        """Σ over pairs of people of (Σ slope · accepted pairs − rate · pairs)²."""
        keys = np.concatenate([self._keys(system.code_a_N, system.code_b_N) for system in accepted])
        slopes = np.concatenate([np.full(len(system.code_a_N), system.slope) for system in accepted])
        key_P, of_key = np.unique(keys, return_inverse=True)
        sum_P = np.bincount(of_key, weights=slopes, minlength=len(key_P))
        count_P = self._count_P[key_P if self._key_P is None else np.searchsorted(self._key_P, key_P)]
        others = self._squares - float(np.square(count_P, dtype=np.float64).sum())
        return float(np.square(sum_P - rate * count_P).sum()) + rate**2 * others

    def _counted(self, code_a_K: IntArray, code_b_K: IntArray) -> tuple[IntArray | None, IntArray]:
        """The number of pairs by key, and the keys; None if every number is a key, which is faster to count."""
        if self.people**2 > 2 * len(code_a_K):
            return np.unique(self._keys(code_a_K, code_b_K), return_counts=True)
        counts = pair_counts(code_a_K, code_b_K, self.people, 0, self.people)
        return None, np.triu(counts + counts.T).ravel()

    def _per_person(self, code_a_N: IntArray, code_b_N: IntArray) -> FloatArray:
        counts = [np.bincount(code_N, minlength=self.people) for code_N in (code_a_N, code_b_N)]
        return np.asarray(counts[0] + counts[1], dtype=np.float64)

    def _keys(self, code_a_N: IntArray, code_b_N: IntArray) -> IntArray:
        """One number for the two people of each pair, in either order."""
        low_N, high_N = np.minimum(code_a_N, code_b_N), np.maximum(code_a_N, code_b_N)
        return low_N * np.int64(self.people) + high_N
