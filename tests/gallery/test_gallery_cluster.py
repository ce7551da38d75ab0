"""Clusters of embeddings: average linkage against a loop, Leiden's algorithm against average linkage."""

import numpy as np
import pytest

import facemargin as fm
from facemargin.gallery.cluster import LARGEST_AVERAGE


def people(count, images, spread, seed=0, size=32):
    """Vectors of `count` people, and who they are of."""
    draws = np.random.default_rng(seed)
    centers = draws.normal(size=(count, size))
    person_N = np.repeat(np.arange(count), images)
    order = draws.permutation(len(person_N))
    return (centers[person_N] + spread * draws.normal(size=(len(person_N), size)))[order], person_N[order]


def average_linkage(vectors, threshold):
    """Join the two groups with the largest mean cosine until it is below the threshold."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    groups = [[i] for i in range(len(unit))]
    while len(groups) > 1:
        means = {(a, b): cosine[np.ix_(groups[a], groups[b])].mean() for a in range(len(groups)) for b in range(a)}
        (a, b), best = max(means.items(), key=lambda item: item[1])
        if best < threshold:
            break
        groups[b] += groups.pop(a)
    return {frozenset(group) for group in groups}


def as_sets(found):
    return {frozenset(np.flatnonzero(found.numbers == number).tolist()) for number in range(len(found))}


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_average_linkage_is_that_of_a_loop(threshold):
    vectors, _ = people(5, 6, 0.9)
    found = fm.cluster(vectors, threshold)
    assert found.method == "average" and as_sets(found) == average_linkage(vectors, threshold)


@pytest.mark.parametrize("method", ["average", "leiden"])
def test_people_far_apart_are_found(method):
    vectors, person_N = people(30, 8, 0.5)
    found = fm.cluster(vectors, 0.45, method=method)
    assert fm.evaluation.clustering_scores(person_N, found.numbers).b_cubed.f == 1.0
    assert found.sizes.tolist() == [8] * 30 and found.alone == 0 and len(found) == 30
    # of equal sizes the group of the first image comes first
    assert found.numbers[0] == 0


def test_leiden_is_as_good_as_average_linkage_on_people_near_each_other():
    vectors, person_N = people(60, 10, 0.8, size=24)
    f = [
        fm.evaluation.clustering_scores(person_N, fm.cluster(vectors, 0.4, method=method).numbers).b_cubed.f
        for method in ("average", "leiden")
    ]
    assert 0.6 < f[0] < 0.98 and f[1] > f[0] - 0.05


def test_the_largest_group_is_the_first():
    vectors = [[0, 1], [1, 0], [1, 0.1], [1, 0.2], [-1, 0], [-1, 0.1]]
    found = fm.cluster(vectors, 0.9)
    assert found.numbers.tolist() == [2, 0, 0, 0, 1, 1] and found.sizes.tolist() == [3, 2, 1] and found.alone == 1


@pytest.mark.parametrize("method", ["average", "leiden"])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(method, count):
    found = fm.cluster(np.eye(3)[:count], 0.5, method=method)
    assert found.numbers.tolist() == list(range(count)) and len(found) == count


@pytest.mark.parametrize("method", ["average", "leiden"])
def test_progress_ends_at_all(method):
    calls = []
    fm.cluster(people(3, 3, 0.1)[0], 0.5, method=method, progress=lambda *call: calls.append(call))
    assert calls[-1] == (9, 9)


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        ([[1.0, 0], [np.nan, 0]], "vector 1 .* is not finite or has no length"),
        ([[0.0, 0], [1, 0]], "vector 0 .* is not finite or has no length"),
        ([1.0, 2], "expected \\(N, D\\) numbers"),
        ([["a"]], "vectors holds .*expected real numbers"),
    ],
)
def test_vectors_without_a_direction_are_refused(vectors, words):
    with pytest.raises(fm.DataError, match=words):
        fm.cluster(vectors, 0.5)


def test_what_cannot_be_clustered_is_refused():
    for threshold in (np.nan, 1.1, -1):
        with pytest.raises(fm.ConfigError, match="expected a cosine"):
            fm.cluster(np.eye(2), threshold)
    with pytest.raises(fm.ConfigError, match="expected above 0"):
        fm.cluster(np.eye(2), 0.0, method="leiden")
    with pytest.raises(fm.ConfigError, match='use the method "leiden"'):
        fm.cluster(np.ones((LARGEST_AVERAGE + 1, 1)), 0.5, method="average")
