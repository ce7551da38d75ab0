"""The pairs that several systems were scored on, and how each of them does on the same resamples of people.

Shapes: K pairs, S people, R resamples, F FARs, G genuine pairs, B resamples of a block.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.bootstrap import (
    DEFAULT_BOOTSTRAP,
    FEWEST_IDENTITIES,
    Bootstrap,
    identity_codes,
    identity_multiplicities,
    require_bootstrap,
)
from facemargin.evaluation.metrics.inputs import as_identities, as_rates
from facemargin.evaluation.metrics.pair_variance import PairGraph
from facemargin.evaluation.metrics.pairs import IntArray, check_finite, check_pairs
from facemargin.evaluation.metrics.resampled_tar import (
    BestImpostors,
    PeoplePairs,
    ResampledTars,
    WeightArray,
    Weights,
    impostor_weights,
    resampled_tars,
)
from facemargin.evaluation.metrics.sorted_scores import SortedPairs
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint, operating_points


@dataclass(frozen=True)
class SystemRates:
    """What the differences of a system need, for each FAR: its operating points, its rates in the resamples, and
    without each person if that was asked for, the people of the impostors that it accepts, and the number of genuine
    pairs of each person that it accepts."""

    points: tuple[OperatingPoint, ...]
    resampled: ResampledTars
    without_one: ResampledTars | None
    accepted: tuple[tuple[IntArray, IntArray], ...]
    genuine_FS: IntArray


class SharedPairs:
    """The pairs and the resamples that any number of systems have in common. `without_each`: systems are also rated
    without each person once. The other arguments are those of `paired_difference`."""

    def __init__(
        self,
        same: ArrayLike,
        identities_a: ArrayLike,
        identities_b: ArrayLike,
        fars: float | Sequence[float],
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        without_each: bool = False,
    ) -> None:
        require_bootstrap(bootstrap)
        self.fars, self.bootstrap = as_rates("fars", fars), bootstrap
        same_K = check_pairs(np.zeros(np.shape(same), np.float32), same, keep_float32=True)[1]
        code_a_K, code_b_K, people = identity_codes(
            as_identities("identities_a", identities_a), as_identities("identities_b", identities_b), same_K
        )
        if people < FEWEST_IDENTITIES:
            raise DataError(
                f"the pairs are of {counted(people, 'person', 'people')}, too few to resample: expected at least "
                f"{FEWEST_IDENTITIES}"
            )
        self.pairs = PeoplePairs(same_K, code_a_K.astype(np.int32), code_b_K.astype(np.int32), people)
        self.graph = PairGraph(self.pairs)
        drawn_RS = np.array([drawn_S.astype(np.uint16) for drawn_S in identity_multiplicities(people, bootstrap)])
        self._weights: Weights = lambda resamples: drawn_RS[resamples].astype(np.int32)
        self._impostors_R = impostor_weights(self.pairs, bootstrap.resamples, self._weights)
        self._impostors_without_S = impostor_weights(self.pairs, people, self._all_but) if without_each else None

    def system(self, scores: ArrayLike, name: str = "scores") -> SystemRates:
        """The rates of the system with these scores. Raises DataError, which names them, for scores that do not fit."""
        scores_K = check_finite(name, scores, self.pairs.same_K.shape, keep_float32=True)
        ordered = SortedPairs.of(scores_K, self.pairs.same_K)
        points = operating_points(ordered, self.fars).points
        best = BestImpostors(scores_K, self.pairs, ordered.impostor)
        resampled = resampled_tars(best, self.fars, self._weights, self._impostors_R)
        without = None
        if self._impostors_without_S is not None:
            without = resampled_tars(best, self.fars, self._all_but, self._impostors_without_S)
        genuine_K = np.flatnonzero(self.pairs.same_K)
        code_G, score_G = self.pairs.code_a_K[genuine_K], scores_K[genuine_K]
        return SystemRates(
            points,
            resampled,
            without,
            tuple(_copied(best.people(0, point.impostors_accepted)) for point in points),
            np.array([np.bincount(code_G[score_G > cut], minlength=self.pairs.people) for cut in resampled.cut_F]),
        )

    def _all_but(self, people: IntArray) -> WeightArray:
        weights_BS = np.ones((len(people), self.pairs.people), dtype=np.int32)
        weights_BS[np.arange(len(people)), people] = 0
        return weights_BS


def _copied(people: tuple[IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    return people[0].copy(), people[1].copy()
