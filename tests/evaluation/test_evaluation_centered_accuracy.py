import math

import numpy as np
import pytest

from facemargin.data.pairs.verification_set import contiguous_folds
from facemargin.errors import DataError
from facemargin.evaluation import centered_accuracy


def by_loops(a, b, same, folds):
    """MagFace's script, a pair at a time, in exact order."""
    accuracies, thresholds = [], []
    for fold in range(max(folds) + 1):
        rows = [row for k in range(len(same)) if folds[k] != fold for row in (a[k], b[k])]
        mean = [math.fsum(row[d] for row in rows) / len(rows) for d in range(len(a[0]))]
        angles = []
        for first, second in zip(a, b, strict=True):
            left = [x - m for x, m in zip(first, mean, strict=True)]
            right = [x - m for x, m in zip(second, mean, strict=True)]
            norms = math.sqrt(math.fsum(x * x for x in left)) * math.sqrt(math.fsum(x * x for x in right))
            cosine = math.fsum(x * y for x, y in zip(left, right, strict=True)) / norms
            angles.append(math.acos(max(-1.0, min(1.0, cosine))) / math.pi)
        best, best_right = None, -1
        for step in range(400):
            right = sum((angles[k] < step * 0.01) == same[k] for k in range(len(same)) if folds[k] != fold)
            if right > best_right:
                best, best_right = step * 0.01, right
        own = [k for k in range(len(same)) if folds[k] == fold]
        accuracies.append(sum((angles[k] < best) == same[k] for k in own) / len(own))
        thresholds.append(math.cos(math.pi * min(best, 1)))
    return accuracies, thresholds


def features(seed, pairs=60, size=6):
    """Of people around a common mean, with norms of 1 to 40."""
    rng = np.random.default_rng(seed)
    same = np.arange(pairs) % 2 == 0
    a, other = rng.normal(size=(2, pairs, size)) + 2
    b = np.where(same[:, None], a + 0.7 * rng.normal(size=(pairs, size)), other)
    return a * rng.uniform(1, 40, (pairs, 1)), b * rng.uniform(1, 40, (pairs, 1)), same


def test_the_same_feature_twice_has_no_angle_however_it_is_rounded():
    a, b, same = features(seed=5, pairs=400)
    b[same] = a[same]
    accuracies, thresholds = by_loops(a.tolist(), b.tolist(), same.tolist(), contiguous_folds(len(same), 4).tolist())
    result = centered_accuracy(a, b, same, 4)
    assert list(result.accuracies) == pytest.approx(accuracies) and min(accuracies) > 0.8
    assert list(result.thresholds) == pytest.approx(thresholds)


@pytest.mark.parametrize("folds", [2, 7, 10])
def test_it_is_the_script_pair_by_pair(folds):
    a, b, same = features(folds)
    result = centered_accuracy(a, b, same, folds)
    accuracies, thresholds = by_loops(
        a.tolist(), b.tolist(), same.tolist(), contiguous_folds(len(same), folds).tolist()
    )
    assert list(result.accuracies) == pytest.approx(accuracies)
    assert list(result.thresholds) == pytest.approx(thresholds)
    assert (result.mean, result.std) == (pytest.approx(np.mean(accuracies)), pytest.approx(np.std(accuracies)))
    assert result.interval is None


def test_the_common_mean_and_the_norms_count():
    a, b, same = features(1)
    moved = centered_accuracy(a + 100, b + 100, same)
    assert moved.accuracies == pytest.approx(centered_accuracy(a, b, same).accuracies)
    unit = centered_accuracy(*(rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (a, b)), same)
    assert unit.thresholds != centered_accuracy(a, b, same).thresholds


def test_what_does_not_fit_is_refused():
    a, b, same = features(0)
    with pytest.raises(DataError, match="do not fit"):
        centered_accuracy(a, b[:-1], same)
    with pytest.raises(DataError, match=r"features_b .*finite"):
        centered_accuracy(a, np.full_like(b, np.nan), same)
    with pytest.raises(DataError, match="pair 0 has a feature that equals the mean"):
        centered_accuracy(np.ones_like(a), np.ones_like(b), same)
    with pytest.raises(DataError, match="same holds -1, 1"):
        centered_accuracy(a, b, np.where(same, 1, -1))
