"""Rank correlations within faces, by loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.evaluation import Bootstrap
from facemargin.evaluation.metrics.degradation_response import mean_correlations, strength_correlations
from facemargin.evaluation.metrics.rank_correlation import spearman_correlation

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


def reference_rho(qualities, strengths):
    """Pearson's correlation of ranks, one value at a time; 0 if all qualities are equal."""

    def ranks(values):
        return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]

    a, b = ranks(qualities), ranks(strengths)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    length = (sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b)) ** 0.5
    return covariance / length if length else 0.0


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=8))
def test_every_face_by_itself(qualities):
    found_ML = strength_correlations(np.array([qualities, qualities[::-1]], dtype=float), STRENGTHS)
    expected = [reference_rho(of_face, STRENGTHS) for of_face in qualities]
    assert found_ML[0].tolist() == pytest.approx(expected)
    assert found_ML[1].tolist() == pytest.approx(expected[::-1])


def test_it_is_spearmans_where_the_other_routine_knows_it():
    quality = np.random.default_rng(0).normal(size=5)
    expected = spearman_correlation([quality, STRENGTHS])[0, 1]
    assert strength_correlations(quality[None, None], STRENGTHS)[0, 0] == pytest.approx(expected)


def test_a_faces_own_level_does_not_count():
    level_L = np.random.default_rng(0).normal(scale=100, size=(1, 50, 1))
    falling = level_L - np.array(STRENGTHS)
    assert (strength_correlations(falling, STRENGTHS) == -1).all()
    assert spearman_correlation([falling.ravel(), np.tile(STRENGTHS, 50)])[0, 1] > -0.1


def test_the_interval_resamples_people_with_all_their_faces():
    rng = np.random.default_rng(1)
    correlation_ML, people_L = rng.uniform(-1, 1, (2, 30)), rng.integers(0, 8, 30)
    means, intervals = mean_correlations(correlation_ML, people_L, Bootstrap(resamples=200, seed=3))
    assert means.tolist() == pytest.approx(correlation_ML.mean(1).tolist())
    names = np.unique(people_L)
    resampled = []
    for resample in range(200):
        drawn = np.random.default_rng((3, resample)).integers(len(names), size=len(names))
        faces = [face for person in drawn for face in np.flatnonzero(people_L == names[person])]
        resampled.append(correlation_ML[:, faces].mean(1))
    expected = np.quantile(resampled, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(intervals, expected, rtol=1e-12)


def test_equal_correlations_have_no_interval():
    means, intervals = mean_correlations(np.full((1, 10), -1.0), np.arange(10))
    assert means.tolist() == [-1] and intervals == [None]
