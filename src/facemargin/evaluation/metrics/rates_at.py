"""The false match rates of people who are all compared with each other, at thresholds that are given.

Shapes: P thresholds, J pairs of one block, E pairs of people in it, N people.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.metrics.certified_bound import certified_upper_bound, risk
from facemargin.evaluation.metrics.clustered_wilson import variance_of_pairs, wilson_interval
from facemargin.evaluation.metrics.inputs import as_identities
from facemargin.evaluation.metrics.person_pairs import EmbeddedPeople


@dataclass(frozen=True)
class FmrAt:
    """The FMR at a threshold: that among the people, everybody counted alike; where the true one probably is, by a
    formula that is no guarantee (None without a false match); and the rate that the true one does not exceed, with the
    confidence that was asked for, at all of the thresholds together."""

    observed: float
    estimated: Interval | None
    certified: float


def fmr_at(
    embeddings: Embeddings,
    identities: ArrayLike,
    thresholds: Sequence[float],
    rungs: Sequence[float],
    confidence: float = 0.95,
) -> list[FmrAt]:
    """The FMRs at `thresholds`, which may have been chosen on the same images in any way.

    `rungs` are rates that were chosen without looking at the images. For each of them, with the risk shared among
    them, the threshold at which it is observed certifies a rate (see `certify`). A threshold at which a rate between
    two of them is observed is no lower than that of the higher one, and its true rate therefore no higher than what
    that one certifies; above all of them, nothing is certified but 1.
    """
    person_S = np.unique(as_identities("identities", identities), return_inverse=True)[1]
    pairs = EmbeddedPeople(embeddings.vectors, person_S, np.zeros_like(person_S), 1)
    terms, people = int(pairs.terms_B[0]), pairs.people
    rate_P, square_P = np.zeros((2, len(thresholds)))
    sum_PN = np.zeros((len(thresholds), people))
    for block in pairs.impostor_blocks(np.array([min(thresholds)])):
        key_E, term_J = np.unique(block.person_a_J * people + block.person_b_J, return_inverse=True)
        a_E, b_E = np.divmod(key_E, people)
        for place, threshold in enumerate(thresholds):
            accepted_J = block.scores_J >= threshold
            share_E = np.bincount(term_J[accepted_J], block.weight_J[accepted_J], len(key_E)) * terms
            rate_P[place] += block.weight_J[accepted_J].sum()
            square_P[place] += share_E @ share_E
            sum_PN[place] += np.bincount(a_E, share_E, people) + np.bincount(b_E, share_E, people)
    ladder = sorted(rungs)
    each = 1 - risk(confidence) / len(ladder)
    bounds = [float(certified_upper_bound(rung, int(pairs.units_B[0]), each)) for rung in ladder]
    found = []
    for rate, square, sum_N in zip(rate_P.tolist(), square_P.tolist(), sum_PN, strict=True):
        variance = variance_of_pairs(sum_N, square, pairs.terms_of_BN[0], terms, rate)
        rung = int(np.searchsorted(ladder, rate * (1 - 1e-12)))
        certified = bounds[rung] if rung < len(bounds) else 1.0
        found.append(FmrAt(rate, wilson_interval(rate, variance, confidence), certified))
    return found
