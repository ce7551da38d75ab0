"""The point of the ROC at which published scripts read a TAR, among those that scikit-learn's `roc_curve` keeps.

Shapes: W distinct scores of a part of the curve, highest first.
"""

import numpy as np

from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray
from facemargin.evaluation.metrics.sorted_scores import SortedPairs

WINDOW = 2**10
"""How many impostor scores are searched on each side of the target at first."""


def nearest_corner(pairs: SortedPairs, target_far: float) -> float:
    """The threshold of the kept point whose FAR is nearest to the target: of two equally near FARs the larger, and the
    largest TAR at that FAR. +inf for the point (0, 0), which accepts nothing.

    Each point of the curve accepts all scores at or above one score. `roc_curve` with `drop_intermediate` drops a point
    if the steps before and after it have the same number of impostor pairs and the same number of genuine pairs; it
    keeps the first and the last point. A long run of impostor scores between two genuine scores therefore has no point
    inside.
    """
    places = len(pairs.impostor.scores_N)
    center = pairs.impostor.first_place(int(min(max(pairs.impostor.total * (1 - target_far), 0), pairs.impostor.total)))
    width = WINDOW
    while True:
        low, high = max(0, center - width), min(places, center + width)
        score_W, accepted_W = _corners(pairs, low, high)
        enough = pairs.impostor.total * target_far
        is_below = high == places or bool((accepted_W <= enough).any())
        beyond = accepted_W[accepted_W >= enough]
        # more genuine pairs at the same FAR may follow after the last impostor searched
        is_above = low == 0 or (len(beyond) and beyond.min() < pairs.impostor.at_or_above(pairs.impostor.scores_N[low]))
        if is_below and is_above:
            break
        width *= 8
    # as scripts compute it: of equally near points, the last point of the larger FAR
    distance_W = np.abs(accepted_W / pairs.impostor.total - target_far)
    nearest = np.flatnonzero(distance_W == distance_W.min())
    return float(score_W[nearest[-1]])


def _corners(pairs: SortedPairs, low: int, high: int) -> tuple[FloatArray, IntArray]:
    """The scores of the kept points, highest first, among the impostor scores at positions `low` to `high` and the
    genuine scores between them, and the number of impostors accepted at each."""
    genuine, impostor = pairs.genuine, pairs.impostor
    at_top, at_bottom = high == len(impostor.scores_N), low == 0
    first = 0 if at_bottom else int(np.searchsorted(genuine.scores_N, impostor.scores_N[low], "left"))
    last = len(genuine.scores_N)
    if not at_top:
        last = int(np.searchsorted(genuine.scores_N, impostor.scores_N[high - 1], "right"))
    score_W = np.unique(np.concatenate([impostor.scores_N[low:high], genuine.scores_N[first:last]]))[::-1]
    accepted_W = impostor.at_or_above(score_W)
    steps_W2 = np.stack(
        [accepted_W - impostor.above(score_W), genuine.at_or_above(score_W) - genuine.above(score_W)], 1
    )
    left_W: BoolArray = np.append((steps_W2[:-1] != steps_W2[1:]).any(axis=1), at_bottom)
    left_W[0] |= at_top
    score_W, accepted_W = score_W[left_W], accepted_W[left_W]
    if at_top:
        score_W, accepted_W = np.append(np.inf, score_W), np.append(0, accepted_W)
    return score_W, accepted_W
