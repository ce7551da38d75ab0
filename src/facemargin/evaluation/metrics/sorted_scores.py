"""Counts scores above a threshold without a loop: scores are sorted once, then looked up.

Shapes: N scores of one kind (genuine or impostor), K pairs of both.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SortedScores:
    """Scores in ascending order. A score may count several times, because a bootstrap resample counts a pair as often
    as it was drawn. `below_N1` is the number of scores before each position and, at the end, of all; None if every
    score counts once, so that the number equals the position."""

    scores_N: FloatArray
    below_N1: IntArray | None = None

    @classmethod
    def of(cls, scores_N: FloatArray, weights_N: IntArray | None = None) -> "SortedScores":
        """Sort scores that count `weights_N` times (by default once). Scores that count zero times are dropped."""
        if weights_N is None:
            return cls(np.sort(scores_N))
        drawn = np.flatnonzero(weights_N)
        order = drawn[np.argsort(scores_N[drawn])]
        return cls(scores_N[order], np.concatenate([[0], np.cumsum(weights_N[order])]))

    @property
    def total(self) -> int:
        return len(self.scores_N) if self.below_N1 is None else int(self.below_N1[-1])

    def before(self, place: IntArray | int) -> IntArray:
        """How many scores come before each position."""
        return np.asarray(place) if self.below_N1 is None else self.below_N1[place]

    def first_place(self, count: int) -> int:
        """The first position with at least `count` scores before it; `count` is from 0 to `total`."""
        return count if self.below_N1 is None else int(np.searchsorted(self.below_N1, count, side="left"))

    def last_place(self, count: int) -> int:
        """The last position with at most `count` scores before it."""
        return count if self.below_N1 is None else int(np.searchsorted(self.below_N1, count, side="right")) - 1

    def at_or_above(self, threshold: FloatArray | float) -> IntArray:
        """The number of scores ≥ each threshold."""
        return self.total - self.before(self._place(threshold, "left"))

    def above(self, threshold: FloatArray | float) -> IntArray:
        """The number of scores > each threshold."""
        return self.total - self.before(self._place(threshold, "right"))

    def lowest_above(self, value: float) -> float:
        """The lowest score > value; +inf if there is none."""
        place = self._place(value, "right")
        return float(self.scores_N[place]) if place < len(self.scores_N) else np.inf

    def highest_below(self, value: float) -> float:
        """The highest score < value; −inf if there is none."""
        place = self._place(value, "left")
        return float(self.scores_N[place - 1]) if place > 0 else -np.inf

    def _place(self, threshold: FloatArray | float, side: Literal["left", "right"]) -> IntArray:
        as_score = np.asarray(threshold).astype(self.scores_N.dtype)
        # A search with another type would copy all scores. A threshold that is one of the scores can be converted
        # without loss.
        return np.searchsorted(self.scores_N, as_score if np.array_equal(as_score, threshold) else threshold, side=side)


@dataclass(frozen=True)
class SortedPairs:
    """The genuine and the impostor scores of one set of pairs."""

    genuine: SortedScores
    impostor: SortedScores

    @classmethod
    def of(cls, scores_K: FloatArray, same_K: BoolArray, weights_K: IntArray | None = None) -> "SortedPairs":
        different_K = ~same_K
        if weights_K is None:
            genuine, impostor = scores_K[same_K], scores_K[different_K]
            genuine.sort()  # the arrays are copies already, and may have millions of values
            impostor.sort()
            return cls(SortedScores(genuine), SortedScores(impostor))
        return cls(
            SortedScores.of(scores_K[same_K], weights_K[same_K]),
            SortedScores.of(scores_K[different_K], weights_K[different_K]),
        )

    @property
    def is_complete(self) -> bool:
        """Whether there are scores of both kinds. A resample of few identities may have only one."""
        return self.genuine.total > 0 and self.impostor.total > 0

    def lowest_above(self, value: float) -> float:
        """The lowest score of either kind > value; +inf if there is none."""
        return min(self.genuine.lowest_above(value), self.impostor.lowest_above(value))


def allowed_count(rate: float, total: int) -> int:
    """The largest count with count / total ≤ rate."""
    # for a rate such as 0.29, rate · total may be just below the exact whole number
    return int(rate * total * (1 + 1e-12))


def highest_rejected(impostor: SortedScores, far: float) -> float:
    """The highest impostor score that must be rejected to keep FAR ≤ far; −inf if all may be accepted.

    All scores strictly above it may be accepted. Equal scores are therefore rejected together.
    """
    must_reject = impostor.total - allowed_count(far, impostor.total)
    place = impostor.first_place(must_reject)
    return float(impostor.scores_N[place - 1]) if place > 0 else -np.inf
