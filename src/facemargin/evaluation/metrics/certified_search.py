"""The lowest threshold whose false match rate is small enough to be certified, exactly, however many pairs there are.

The pairs are gone through three times: once to bracket the threshold by a histogram of weights, once to sort the pairs
inside the bracket, and once to see whose pairs are accepted. They are never held all together.

Shapes: B bands, J pairs of one block, T bins, N people, E pairs of people with an error.
"""

from dataclasses import dataclass

import numpy as np

from facemargin.evaluation.metrics.pairs import FloatArray
from facemargin.evaluation.metrics.person_pairs import PersonPairs

_BINS = 2**14


@dataclass(frozen=True)
class AcceptedImpostors:
    """The impostor pairs of one band that are accepted, how many are at or above the rejecting threshold, and for each
    person and over all terms the sums of h and h²."""

    accepted: int
    not_rejected: int
    sum_N: FloatArray
    square_sum: float


def lowest_accepting(pairs: PersonPairs, largest_B: list[float | None]) -> list[tuple[float, float] | None]:
    """For every band the smallest threshold at which the rate is at most `largest`, and the rate there. None where
    `largest` is None."""
    weight_BT, edges_T = _histogram(pairs, len(largest_B))
    for margin in (1, _BINS):
        found = _within(pairs, largest_B, weight_BT, edges_T, margin)
        if found is not None:
            return found
    raise AssertionError("the pairs have other scores each time they are asked for")


def _histogram(pairs: PersonPairs, bands: int) -> tuple[FloatArray, FloatArray]:
    """The weights of the scores between neighbouring edges."""
    edges_T = np.linspace(pairs.low, pairs.high, _BINS + 1)
    scale = _BINS / (pairs.high - pairs.low) if pairs.high > pairs.low else 0.0
    weight_BT = np.zeros((bands, _BINS))
    for block in pairs.impostor_blocks(np.full(bands, -np.inf)):
        bin_J = ((block.scores_J - pairs.low) * scale).astype(np.int64).clip(0, _BINS - 1)
        weight_BT += np.bincount(block.band_J * _BINS + bin_J, block.weight_J, bands * _BINS).reshape(bands, _BINS)
    return weight_BT, edges_T


def _within(
    pairs: PersonPairs, largest_B: list[float | None], weight_BT: FloatArray, edges_T: FloatArray, margin: int
) -> list[tuple[float, float] | None] | None:
    """The thresholds, if all of them are within `margin` bins of where the histogram has them. The weights are summed
    again, because a product of vectors may be rounded differently the second time."""
    bands = len(largest_B)
    low_B, high_B = np.full(bands, np.inf), np.full(bands, np.inf)
    for band, largest in enumerate(largest_B):
        if largest is not None:
            at_or_above_T = np.cumsum(weight_BT[band, ::-1])[::-1]
            crossing = int(np.flatnonzero(at_or_above_T > largest)[-1])
            low_B[band] = edges_T[crossing - margin] if crossing >= margin else -np.inf
            high_B[band] = edges_T[crossing + 1 + margin] if crossing + margin < _BINS else np.inf
    above_B = np.zeros(bands)
    inside: list[list[tuple[FloatArray, FloatArray]]] = [[] for _ in range(bands)]
    for block in pairs.impostor_blocks(low_B):
        above_J = block.scores_J >= high_B[block.band_J]
        above_B += np.bincount(block.band_J[above_J], block.weight_J[above_J], bands)
        for band in range(bands):
            inside_J = ~above_J & (block.band_J == band)
            inside[band].append((block.scores_J[inside_J], block.weight_J[inside_J]))
    found: list[tuple[float, float] | None] = []
    for band, largest in enumerate(largest_B):
        if largest is None:
            found.append(None)
            continue
        scores_J, weight_J = (np.concatenate(parts) for parts in zip(*inside[band], strict=True))
        place = _first_too_much(scores_J, weight_J, float(above_B[band]), largest)
        if place is None:
            return None
        found.append(place)
    return found


def _first_too_much(
    scores_J: FloatArray, weight_J: FloatArray, above: float, largest: float
) -> tuple[float, float] | None:
    """The number next above the highest score that must be rejected, and the rate there. None if the score is not among
    these."""
    if above > largest:
        return None
    order_J = np.argsort(-scores_J)
    sorted_J, up_to_J = scores_J[order_J], above + np.cumsum(weight_J[order_J])
    # Equal scores are accepted or rejected together.
    last_J = np.append(sorted_J[1:] != sorted_J[:-1], True)
    too_much = np.flatnonzero(last_J & (up_to_J > largest))
    if not len(too_much):
        return None
    rejected = sorted_J[too_much[0]]
    higher = np.flatnonzero(sorted_J > rejected)
    rate = float(up_to_J[higher[-1]]) if len(higher) else above
    return float(np.nextafter(rejected, np.array(np.inf, rejected.dtype))), rate


def accepted_impostors(pairs: PersonPairs, accept_B: FloatArray, reject_B: FloatArray) -> list[AcceptedImpostors]:
    """Who is falsely accepted from `accept_B` on (+inf: nobody); `reject_B` is +inf if it does not matter."""
    bands, people = len(accept_B), pairs.people
    accepted_B, not_rejected_B = np.zeros((2, bands), np.int64)
    sum_BN, square_B = np.zeros((bands, people)), np.zeros(bands)
    for block in pairs.impostor_blocks(np.minimum(accept_B, reject_B)):
        not_rejected_B += np.bincount(block.band_J[block.scores_J >= reject_B[block.band_J]], minlength=bands)
        accepted_J = block.scores_J >= accept_B[block.band_J]
        band_J = block.band_J[accepted_J]
        accepted_B += np.bincount(band_J, minlength=bands)
        key_J = (band_J * people + block.person_a_J[accepted_J]) * people + block.person_b_J[accepted_J]
        key_E, term_J = np.unique(key_J, return_inverse=True)
        band_E, a_E, b_E = key_E // people**2, key_E // people % people, key_E % people
        share_E = np.bincount(term_J, block.weight_J[accepted_J], len(key_E)) * pairs.terms_B[band_E]
        for person_E in (a_E, b_E):
            np.add.at(sum_BN, (band_E, person_E), share_E)
        square_B += np.bincount(band_E, share_E**2, bands)
    return [
        AcceptedImpostors(int(accepted_B[band]), int(not_rejected_B[band]), sum_BN[band], float(square_B[band]))
        for band in range(bands)
    ]
