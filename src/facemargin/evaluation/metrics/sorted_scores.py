"""Counting scores above a threshold without a loop: sort once, then look up.

Shapes: N scores of one kind (genuine or impostor), K pairs of both.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SortedScores:
    """Scores in ascending order. Each may stand for several, as a bootstrap resample counts a pair as often as it was
    drawn: `below_N1` is then the number of them that come before each place, and after the last; None where each
    counts once and that is the place itself."""

    scores_N: FloatArray
    below_N1: IntArray | None = None

    @classmethod
    def of(cls, scores_N: FloatArray, weights_N: IntArray | None = None) -> "SortedScores":
        """Sort scores that count `weights_N` times each (once by default); those that count zero times are dropped."""
        if weights_N is None:
            return cls(np.sort(scores_N))
        drawn = np.flatnonzero(weights_N)
        order = drawn[np.argsort(scores_N[drawn])]
        return cls(scores_N[order], np.concatenate([[0], np.cumsum(weights_N[order])]))

    @property
    def total(self) -> int:
        return len(self.scores_N) if self.below_N1 is None else int(self.below_N1[-1])

    def before(self, place: IntArray | int) -> IntArray:
        """How many scores come before each place."""
        return np.asarray(place) if self.below_N1 is None else self.below_N1[place]

    def first_place(self, count: int) -> int:
        """The first place before which there are `count` scores or more, of the 0 to `total` there are."""
        return count if self.below_N1 is None else int(np.searchsorted(self.below_N1, count, side="left"))

    def last_place(self, count: int) -> int:
        """The last place before which there are `count` scores or fewer."""
        return count if self.below_N1 is None else int(np.searchsorted(self.below_N1, count, side="right")) - 1

    def at_or_above(self, threshold: FloatArray | float) -> IntArray:
        """How many scores are ≥ each threshold."""
        return self.total - self.before(self._place(threshold, "left"))

    def above(self, threshold: FloatArray | float) -> IntArray:
        """How many scores are > each threshold."""
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
        own = np.asarray(threshold).astype(self.scores_N.dtype)
        # a threshold that is one of the scores fits their type; searching for another type would copy all scores to it
        return np.searchsorted(self.scores_N, own if np.array_equal(own, threshold) else threshold, side=side)


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
            genuine.sort()  # they are copies already, and there may be millions
            impostor.sort()
            return cls(SortedScores(genuine), SortedScores(impostor))
        return cls(
            SortedScores.of(scores_K[same_K], weights_K[same_K]),
            SortedScores.of(scores_K[different_K], weights_K[different_K]),
        )

    @property
    def is_complete(self) -> bool:
        """Whether both kinds are there; a resample of few identities may lack one."""
        return self.genuine.total > 0 and self.impostor.total > 0

    def lowest_above(self, value: float) -> float:
        """The lowest score of either kind > value; +inf if there is none."""
        return min(self.genuine.lowest_above(value), self.impostor.lowest_above(value))


def allowed_count(rate: float, total: int) -> int:
    """The largest count with count / total ≤ rate."""
    # rate · total of a rate such as 0.29 may come out just below the whole number it stands for
    return int(rate * total * (1 + 1e-12))


def highest_rejected(impostor: SortedScores, far: float) -> float:
    """The highest impostor score that has to be rejected to keep FAR ≤ far; −inf if all may be accepted.

    Everything strictly above it may be accepted, which settles ties: equal scores are rejected together.
    """
    must_reject = impostor.total - allowed_count(far, impostor.total)
    place = impostor.first_place(must_reject)
    return float(impostor.scores_N[place - 1]) if place > 0 else -np.inf
