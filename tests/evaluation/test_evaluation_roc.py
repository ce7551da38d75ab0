import itertools

import numpy as np
import pytest
from hypothesis import given

from facemargin.evaluation import roc_curve
from tests.evaluation.pair_strategies import scored_pairs


def all_points(scores, same):
    """(FAR, TAR) at every distinct score, by counting, from (0, 0) on."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        far = sum(s >= threshold for s in scores[~same]) / (~same).sum()
        tar = sum(s >= threshold for s in scores[same]) / same.sum()
        points.append((float(far), float(tar)))
    return points


def crossing(points):
    """FAR where the line through the points meets FAR + TAR = 1."""
    for (far0, tar0), (far1, tar1) in itertools.pairwise(points):
        before, after = far0 + tar0 - 1, far1 + tar1 - 1
        if before < 0 <= after:
            return far0 + (far1 - far0) * before / (before - after)
    raise AssertionError("the ROC does not cross the diagonal")


def distance_to_line(point, line):
    p = np.array(point)
    distances = []
    for start, end in itertools.pairwise(line):
        along = np.clip(np.dot(p - start, end - start) / np.dot(end - start, end - start), 0, 1)
        distances.append(np.linalg.norm(p - start - along * (end - start)))
    return min(distances)


@given(scored_pairs())
def test_the_corners_are_attained_and_every_attainable_point_is_on_the_line(pairs):
    scores, same = pairs
    curve = roc_curve(scores, same)
    for far, tar, threshold in zip(curve.far_T, curve.tar_T, curve.threshold_T, strict=True):
        assert far == (scores[~same] >= threshold).mean()
        assert tar == (scores[same] >= threshold).mean()
    line = np.stack([curve.far_T, curve.tar_T], axis=1)
    for point in all_points(scores, same):
        assert distance_to_line(point, line) < 1e-12
    assert len(line) <= 2 * same.sum() + 2


@given(scored_pairs())
def test_eer_is_where_the_line_through_all_points_crosses(pairs):
    assert roc_curve(*pairs).eer == pytest.approx(crossing(all_points(*pairs)), abs=1e-12)


@given(scored_pairs())
def test_auc_is_the_share_of_genuine_impostor_comparisons_won(pairs):
    scores, same = pairs
    won = [(genuine > impostor) + 0.5 * (genuine == impostor) for genuine in scores[same] for impostor in scores[~same]]
    assert roc_curve(scores, same).auc == pytest.approx(np.mean(won), abs=1e-12)


@given(scored_pairs())
def test_only_the_order_of_scores_matters_and_not_how_often_all_are_repeated(pairs):
    scores, same = pairs
    curve = roc_curve(scores, same)
    transformed = roc_curve(scores**3 / 7 + scores, same)
    repeated = roc_curve(np.tile(scores, 2), np.tile(same, 2))
    for other in (transformed, repeated):
        assert (other.eer, other.auc) == (curve.eer, curve.auc)
        np.testing.assert_array_equal(other.far_T, curve.far_T)
        np.testing.assert_array_equal(other.tar_T, curve.tar_T)


@pytest.mark.parametrize(
    ("scores", "same", "eer", "auc"),
    [
        ([1, 0], [1, 0], 0, 1),
        ([0, 1], [1, 0], 1, 0),
        ([0, 0], [1, 0], 0.5, 0.5),
        ([4, 3, 2, 1], [1, 0, 1, 0], 0.5, 0.75),
    ],
)
def test_tiny_sets(scores, same, eer, auc):
    curve = roc_curve(scores, same)
    assert (curve.eer, curve.auc) == (eer, auc)


def test_auc_is_the_mann_whitney_statistic_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(3)
    genuine, impostor = rng.normal(1, 1, 300).round(1), rng.normal(0, 1, 700).round(1)
    expected = stats.mannwhitneyu(genuine, impostor).statistic / (300 * 700)
    same = np.arange(1000) < 300
    assert roc_curve(np.concatenate([genuine, impostor]), same).auc == pytest.approx(expected, rel=1e-12)
