"""TAR at FAR in resamples of people, for as many pairs as the protocols of IJB have.

In a resample person i counts w_i times: an impostor pair of i and j w_i·w_j times, a genuine pair of i w_i times (see
`bootstrap`). The threshold is chosen again in every resample: impostors are accepted from the best down as long as they
weigh at most FAR times all impostors, equal scores together. Sorting them again, for every resample and FAR, would take
minutes. Here

1. impostors are counted once per pair of people, in a matrix C; w C wᵀ, all impostors' weight, is a matrix product;
2. only the best impostors are sorted, once, and a FAR is looked for in a window of them, which begins at the best if
   the FAR is low, and else around where the cut is in some resamples (`_PILOTS`). The weight above a window is a matrix
   product again if that is faster; inside it weights are gathered and added up. If a cut is outside the window, the
   window is doubled for this resample: the result is exact, whatever the windows;
3. genuine pairs are sorted once.

Shapes: K pairs, S people, R resamples, F FARs, N sorted scores of one kind, B resamples of a block.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray
from facemargin.evaluation.metrics.sorted_scores import SortedScores, highest_rejected

WeightArray = NDArray[np.int32]
Weights = Callable[[IntArray], WeightArray]
"""Returns, for numbers of resamples (B,), how often each person counts in them, (B, S)."""

_WINDOW = 60_000
"""FARs whose cut is among so many best impostors share one window."""

_LEAST_REACH = 2000
_LEAST_MARGIN = 1000
_PILOTS = 40
_MARGIN = 0.4
"""How far the window reaches beyond the cuts of the pilots on either side, as a share of their range. The range of a
thousand normal numbers is 1.5 times that of forty."""

_BLOCK = 256
_MATRIX_ENTRIES = 2**25
_PRODUCTS_A_PAIR = 40
"""Computing so many products of a matrix takes as long as gathering the weights of a pair."""

_FLOAT32_EXACT = 2**24


@dataclass(frozen=True)
class PeoplePairs:
    """Labels of K pairs and the numbers of the people on both sides, from 0 to `people` - 1."""

    same_K: BoolArray
    code_a_K: IntArray
    code_b_K: IntArray
    people: int


@dataclass(frozen=True)
class ResampledTars:
    """The TAR of a system at its FARs in R resamples, NaN in those without pairs of both kinds. `fixed_far_RF` and
    `fixed_tar_RF` are the rates at the thresholds of the sample, which accept scores above `cut_F`."""

    cut_F: FloatArray
    tar_RF: FloatArray
    fixed_far_RF: FloatArray
    fixed_tar_RF: FloatArray


def impostor_weights(pairs: PeoplePairs, resamples: int, weights: Weights) -> FloatArray:
    """The weight of all impostors in each resample, (R,). It is the same for all systems."""
    different_K = ~pairs.same_K
    return _total_weights(pairs.code_a_K[different_K], pairs.code_b_K[different_K], pairs.people, resamples, weights)


def resampled_tars(
    best: "BestImpostors", fars: tuple[float, ...], weights: Weights, impostors_R: FloatArray
) -> ResampledTars:
    """TAR at each FAR in each resample, at the lowest threshold with FAR ≤ target. `impostors_R` is from
    `impostor_weights`."""
    cut_F = np.array([highest_rejected(best.impostor, far) for far in fars])
    accepted_F = np.array([int(best.impostor.above(cut)) for cut in cut_F])
    # the rounding of `allowed_count`
    allowed_RF = np.floor(np.array(fars) * impostors_R[:, None] * (1 + 1e-12))
    cut_RF, above_RF = np.full(allowed_RF.shape, np.nan), np.full(allowed_RF.shape, np.nan)
    shared = np.array([_reach(far, best.total) <= _WINDOW for far in fars], dtype=bool)
    best.people(0, max((_reach(far, best.total) for far in fars), default=0))  # sorted once for all FARs
    groups = [np.flatnonzero(shared)] if shared.any() else []
    groups += [np.array([column]) for column in np.flatnonzero(~shared)]
    for columns in groups:
        search = _Search(best, weights, allowed_RF[:, columns], accepted_F[columns])
        search.look(np.flatnonzero(impostors_R > 0), [fars[column] for column in columns])
        cut_RF[:, columns], above_RF[:, columns] = search.cut_RF, search.above_RF
    tar_RF, fixed_tar_RF = _genuine(best.scores_K, best.pairs, cut_RF, cut_F, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ResampledTars(cut_F, tar_RF, above_RF / impostors_R[:, None], fixed_tar_RF)


def _reach(far: float, impostors: int) -> int:
    """How many of the best impostors the cut is among in most resamples."""
    return min(impostors, int(1.35 * far * impostors) + _LEAST_REACH)


@dataclass
class BestImpostors:
    """Impostors from the highest score down, of which as many are sorted as have been asked for."""

    scores_K: FloatArray
    pairs: PeoplePairs
    impostor: SortedScores
    _codes: tuple[IntArray, IntArray] = field(default_factory=lambda: (np.empty(0, int), np.empty(0, int)))

    @property
    def total(self) -> int:
        return self.impostor.total

    def score(self, place: int) -> float:
        """The score at a place, from the best; −inf after the last."""
        return float(self.impostor.scores_N[-1 - place]) if place < self.total else -np.inf

    def people(self, first: int, last: int) -> tuple[IntArray, IntArray]:
        """The people of the impostors at the places from `first` to before `last`."""
        if last > len(self._codes[0]):
            self._sort(min(self.total, max(last, 2 * len(self._codes[0]))))
        return self._codes[0][first:last], self._codes[1][first:last]

    def _sort(self, count: int) -> None:
        lowest = self.impostor.scores_N[self.total - count]
        best_K = np.flatnonzero((self.scores_K >= lowest) & ~self.pairs.same_K)
        order_K = best_K[np.argsort(-self.scores_K[best_K])]
        self._codes = (self.pairs.code_a_K[order_K], self.pairs.code_b_K[order_K])


@dataclass
class _Search:
    """Finds the cuts of some FARs: the score of the first impostor with which those from the best down weigh more than
    `allowed_RF`; −inf if all may be accepted. `above_RF` is the weight of the `accepted_F` best impostors."""

    best: BestImpostors
    weights: Weights
    allowed_RF: FloatArray
    accepted_F: IntArray
    cut_RF: FloatArray = field(init=False)
    above_RF: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.cut_RF, self.above_RF = (np.full(self.allowed_RF.shape, np.nan) for _ in range(2))

    def look(self, resamples: IntArray, fars: list[float]) -> None:
        reach, first = _reach(max(fars), self.best.total), 0
        if reach > _WINDOW and len(resamples) > 2 * _PILOTS:
            pilots, resamples = resamples[:_PILOTS], resamples[_PILOTS:]
            places = self._look_between(pilots, 0, reach)
            lowest, highest = min(places.min(), self.accepted_F.min()), max(places.max(), self.accepted_F.max())
            margin = int(_MARGIN * (highest - lowest)) + _LEAST_MARGIN
            first, reach = max(0, int(lowest) - margin), min(self.best.total, int(highest) + margin)
        self._look_between(resamples, first, reach)

    def _look_between(self, resamples: IntArray, first: int, last: int) -> IntArray:
        """Look among the impostors from `first` to before `last`, and more widely in the resamples in which a cut is
        not there. Returns the places of the cuts."""
        accepted = self.accepted_F
        first, last = min(first, int(accepted.min())), max(last, int(accepted.max()))
        base_R = np.zeros(len(resamples))
        if first:
            above = self.best.people(0, first)
            base_R = _total_weights(
                *above, self.best.pairs.people, len(resamples), lambda rows: self.weights(resamples[rows])
            )
        code_a_N, code_b_N = self.best.people(first, last)
        place_RF = np.zeros((len(resamples), len(accepted)), dtype=np.int64)
        outside_R = np.zeros(len(resamples), dtype=bool)
        for start in range(0, len(resamples), _BLOCK):
            block = resamples[start : start + _BLOCK]
            for row, (resample, weight_S) in enumerate(zip(block, self.weights(block), strict=True), start):
                summed_N = np.cumsum(_products(weight_S, code_a_N, code_b_N), dtype=np.int64)
                room_F = (self.allowed_RF[resample] - base_R[row]).astype(np.int64)
                place_F = np.searchsorted(summed_N, room_F, side="right")
                outside_R[row] = (room_F < 0).any() or (last < self.best.total and place_F.max() == len(summed_N))
                place_RF[row] = first + place_F
                self.cut_RF[resample] = [self.best.score(place) for place in place_RF[row].tolist()]
                within_F = accepted - first
                self.above_RF[resample] = base_R[row] + np.where(within_F, summed_N[np.maximum(within_F, 1) - 1], 0)
        if outside_R.any():
            width = last - first
            place_RF[outside_R] = self._look_between(
                resamples[outside_R], max(0, first - width), min(self.best.total, last + width)
            )
        return place_RF


def _genuine(
    scores_K: FloatArray, pairs: PeoplePairs, cut_RF: FloatArray, cut_F: FloatArray, weights: Weights
) -> tuple[FloatArray, FloatArray]:
    """The share of the genuine pairs above the cut of the resample, and above that of the sample."""
    genuine_K = np.flatnonzero(pairs.same_K)
    genuine_K = genuine_K[np.argsort(scores_K[genuine_K])]
    code_N, score_N = pairs.code_a_K[genuine_K], scores_K[genuine_K]

    def below(cuts: FloatArray) -> IntArray:
        # all scores would be converted if the cuts were float64, which they fit into exactly
        return np.searchsorted(score_N, cuts.astype(score_N.dtype), side="right")

    tar_RF, fixed_tar_RF = (np.full(cut_RF.shape, np.nan) for _ in range(2))
    below_F = below(cut_F)
    for start in range(0, len(cut_RF), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(cut_RF)))
        for resample, weight_S in zip(block, weights(block), strict=True):
            summed_N1 = np.concatenate([[0], np.cumsum(weight_S[code_N], dtype=np.int64)])
            total = summed_N1[-1]
            if total and not np.isnan(cut_RF[resample]).any():
                tar_RF[resample] = (total - summed_N1[below(cut_RF[resample])]) / total
                fixed_tar_RF[resample] = (total - summed_N1[below_F]) / total
    return tar_RF, fixed_tar_RF


def _products(weight_S: WeightArray, code_a_N: IntArray, code_b_N: IntArray) -> WeightArray:
    product_N: WeightArray = weight_S.take(code_a_N)
    product_N *= weight_S.take(code_b_N)
    return product_N


def _total_weights(code_a_N: IntArray, code_b_N: IntArray, people: int, resamples: int, weights: Weights) -> FloatArray:
    """The weight of pairs in each resample, exact."""
    total_R = np.zeros(resamples)
    blocks = [np.arange(i, min(i + _BLOCK, resamples)) for i in range(0, resamples, _BLOCK)]
    if people**2 > _PRODUCTS_A_PAIR * len(code_a_N):
        for block in blocks:
            weight_BS = weights(block)
            total_R[block] = [_products(weight_S, code_a_N, code_b_N).sum(dtype=np.int64) for weight_S in weight_BS]
        return total_R
    rows = max(1, _MATRIX_ENTRIES // people)
    for first in range(0, people, rows):
        counts = pair_counts(code_a_N, code_b_N, people, first, min(first + rows, people))
        most = int(counts.sum(axis=1, dtype=np.int64).max())
        for block in blocks:
            weight_BS = weights(block)
            # whole numbers below 2²⁴ are exact in float32
            kind: type[Any] = np.float32 if most * weight_BS.max() < _FLOAT32_EXACT else np.float64
            weighted = weight_BS.astype(kind) @ counts.astype(kind, copy=False).T
            total_R[block] += np.einsum("bs,bs->b", weighted.astype(np.float64), weight_BS[:, first : first + rows])
    return total_R


def pair_counts(code_a_N: IntArray, code_b_N: IntArray, people: int, first: int, last: int) -> NDArray[np.int32]:
    """How many pairs there are of each person from `first` to before `last` with each other person."""
    counts = np.zeros((last - first) * people, dtype=np.int32)
    size = 2**22
    for start in range(0, len(code_a_N), size):
        a_N, b_N = code_a_N[start : start + size], code_b_N[start : start + size]
        if last - first < people:
            kept = (a_N >= first) & (a_N < last)
            a_N, b_N = a_N[kept], b_N[kept]
        np.add.at(counts, (a_N - first).astype(np.int64) * people + b_N, 1)
    return counts.reshape(last - first, people)
