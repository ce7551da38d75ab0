"""Every metric on pairs refuses the same unusable input, and says what is wrong with it."""

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation import (
    best_balanced_accuracy,
    error_versus_discard,
    roc_curve,
    tar_at_far,
    verification_accuracy,
)

METRICS = {
    "tar_at_far": lambda scores, same: tar_at_far(scores, same, [0.1]),
    "roc_curve": roc_curve,
    "verification_accuracy": lambda scores, same: verification_accuracy(scores, same, 2),
    "best_balanced_accuracy": best_balanced_accuracy,
    "error_versus_discard": lambda scores, same: error_versus_discard(scores, same, np.ones(4), np.ones(4)),
}
LABELS = [True, False, True, False]


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS.keys())
@pytest.mark.parametrize(
    ("scores", "same", "message"),
    [
        ([0.1, np.nan, 0.3, np.inf], LABELS, r"2 of 4 scores are not finite; the first is scores\[1\]"),
        ([0.1, 0.2, 0.3], LABELS, r"same has shape \(4,\), expected \(3,\)"),
        ([[0.1, 0.2, 0.3, 0.4]], LABELS, r"scores has shape \(1, 4\)"),
        ([0.1, 0.2, 0.3, 0.4], [True] * 4, "none of the 4 pairs is impostor"),
        ([0.1, 0.2, 0.3, 0.4], [False] * 4, "none of the 4 pairs is genuine"),
        ([0.1, 0.2, 0.3, 0.4], [1, -1, 1, -1], "expected True"),
        ([], [], "none of the 0 pairs is genuine"),
    ],
)
def test_unusable_pairs_are_refused(metric, scores, same, message):
    with pytest.raises(DataError, match=message):
        metric(scores, same)


@pytest.mark.parametrize(
    ("quality_a", "quality_b", "message"),
    [
        ([1, 2, np.nan, 4], [1, 2, 3, 4], r"quality_a\[2\]"),
        ([1, 2, 3, 4], [1, 2, 3], r"quality_b has shape \(3,\), expected \(4,\)"),
    ],
)
def test_unusable_qualities_are_refused(quality_a, quality_b, message):
    with pytest.raises(DataError, match=message):
        error_versus_discard([0.1, 0.2, 0.3, 0.4], LABELS, quality_a, quality_b)
