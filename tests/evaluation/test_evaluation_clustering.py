"""B-cubed and pairwise F against loops over images and pairs."""

import itertools
import math

import numpy as np
import pytest

import facemargin as fm


def by_loops(people, clusters):
    """(B-cubed precision, recall, pairwise precision, recall)"""
    n = range(len(people))
    precision, recall = [], []
    for i in n:
        together = [j for j in n if clusters[j] == clusters[i]]
        person = [j for j in n if people[j] == people[i]]
        right = [j for j in together if people[j] == people[i]]
        precision.append(len(right) / len(together))
        recall.append(len(right) / len(person))
    pairs = list(itertools.combinations(n, 2))
    linked = [(i, j) for i, j in pairs if clusters[i] == clusters[j]]
    mated = [(i, j) for i, j in pairs if people[i] == people[j]]
    both = len(set(linked) & set(mated))
    return np.mean(precision), np.mean(recall), both / len(linked), both / len(mated)


@pytest.mark.parametrize("seed", range(5))
def test_the_scores_are_those_of_loops(seed):
    draws = np.random.default_rng(seed)
    people, clusters = draws.integers(0, 6, 40), draws.integers(10, 15, 40)
    found = fm.evaluation.clustering_scores(people, clusters)
    expected = by_loops(people.tolist(), clusters.tolist())
    got = (found.b_cubed.precision, found.b_cubed.recall, found.pairwise.precision, found.pairwise.recall)
    assert got == pytest.approx(expected, rel=1e-12)
    assert (found.images, found.clusters, found.people) == (40, 5, 6)
    both = found.b_cubed.precision + found.b_cubed.recall
    assert found.b_cubed.f == pytest.approx(2 * found.b_cubed.precision * found.b_cubed.recall / both)


def test_names_count_as_well_as_numbers():
    found = fm.evaluation.clustering_scores(["b", "a", "b"], [5, 7, 5])
    assert found.b_cubed.f == found.pairwise.f == 1.0


def test_without_pairs_the_pairwise_scores_are_unknown():
    found = fm.evaluation.clustering_scores([0, 1], [0, 1])
    assert found.b_cubed.f == 1.0 and math.isnan(found.pairwise.precision) and math.isnan(found.pairwise.f)


@pytest.mark.parametrize(("people", "clusters"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_arrays_that_do_not_fit_are_refused(people, clusters):
    with pytest.raises(fm.DataError, match="expected"):
        fm.evaluation.clustering_scores(people, clusters)
