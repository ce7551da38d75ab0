"""Pairs drawn from labelled images."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.data.pairs.sampling import (
    _from_triangle,
    all_pairs,
    at_most,
    count_pairs,
    draw_counted_pairs,
    draw_pairs,
)
from facemargin.errors import ConfigError, DataError


def labels_of(counts):
    return np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))


def check(labels, num_pairs, num_folds, drawn):
    """Everything that a set of pairs has to be, pair by pair."""
    assert all(len(values) == num_pairs for values in drawn)
    fold_of_person: dict[int, int] = {}
    seen = set()
    for first, second, same, fold in zip(*(values.tolist() for values in drawn), strict=True):
        assert first != second and (labels[first] == labels[second]) == same
        assert frozenset((first, second)) not in seen
        seen.add(frozenset((first, second)))
        for image in (first, second):
            assert fold_of_person.setdefault(labels[image], fold) == fold
    for fold in range(num_folds):
        kinds = drawn.same_K[drawn.folds_K == fold].tolist()
        assert kinds == [True] * (len(kinds) // 2) + [False] * (len(kinds) // 2)
        assert len(kinds) == num_pairs // num_folds
    assert drawn.folds_K.tolist() == sorted(drawn.folds_K.tolist())


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=30),
    num_folds=st.integers(1, 5),
    per_kind=st.integers(1, 12),
    seed=st.integers(0, 5),
)
def test_pairs_are_what_they_should_be_or_too_few_are_there(counts, num_folds, per_kind, seed):
    labels = labels_of(counts)
    try:
        drawn = draw_pairs(labels, 2 * num_folds * per_kind, num_folds, seed)
    except DataError as error:
        assert "too few" in str(error)
        most = int(str(error).split("Draw at most ")[1].split()[0])
        assert most < 2 * num_folds * per_kind
        if most:
            check(labels, most, num_folds, draw_pairs(labels, most, num_folds, seed))
    else:
        check(labels, 2 * num_folds * per_kind, num_folds, drawn)


def test_every_pair_that_there_is():
    """3 people of 4 images: 18 genuine pairs of all 66, so 18 of 48 impostor pairs."""
    labels = labels_of([4, 4, 4])
    drawn = draw_pairs(labels, 36, 1, seed=3)
    genuine = {frozenset(pair) for pair in zip(drawn.first_K[:18].tolist(), drawn.second_K[:18].tolist(), strict=True)}
    assert genuine == {frozenset((i, j)) for i, j in combinations(range(12), 2) if labels[i] == labels[j]}


def test_a_function_of_the_seed():
    labels = labels_of([3] * 40)
    first, again, other = (draw_pairs(labels, 100, 5, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.array_equal(first.first_K, other.first_K)


def test_people_are_drawn_alike_whatever_their_number_of_images():
    """One person with 200 images has 19,900 of the 20,080 genuine pairs, and would crowd out the others."""
    labels = labels_of([200] + [10] * 4)
    drawn = draw_pairs(labels, 100, 1, seed=0)
    genuine = np.bincount(labels[drawn.first_K[:50]], minlength=5)
    impostor = np.bincount(labels[np.concatenate([drawn.first_K[50:], drawn.second_K[50:]])], minlength=5)
    assert genuine.min() >= 4 and genuine.max() <= 20
    assert impostor.min() >= 10 and impostor.max() <= 32


def test_many_people_cost_no_list_of_all_their_pairs():
    labels = np.repeat(np.arange(50_000), 2)  # 10^9 pairs of people
    drawn = draw_pairs(labels, 2000, 2, seed=0)
    check(labels, 2000, 2, drawn)


def test_ranks_of_pairs():
    larger, smaller = _from_triangle(np.arange(45))
    assert list(zip(larger.tolist(), smaller.tolist(), strict=True)) == [(i, j) for i in range(10) for j in range(i)]
    huge = 2**31 - 5
    (larger,), (smaller,) = _from_triangle(np.array([huge * (huge - 1) // 2 + 7]))
    assert (larger, smaller) == (huge, 7)
    (larger,), (smaller,) = _from_triangle(np.array([huge * (huge - 1) // 2 - 1]))
    assert (larger, smaller) == (huge - 1, huge - 2)


@pytest.mark.parametrize(("num_pairs", "num_folds"), [(0, 10), (-20, 10), (30, 10), (10, 0), (20, -1), (19, 1)])
def test_numbers_that_do_not_divide_are_refused(num_pairs, num_folds):
    with pytest.raises(ConfigError, match=f"{num_pairs} pairs in {num_folds} folds?: expected .* multiple of"):
        draw_pairs(labels_of([9] * 40), num_pairs, num_folds, 0)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([], "0 people .* has 0 possible genuine and 0 impostor"),
        ([50], "1 person is too few .* has 0 possible genuine and 0 impostor"),
        ([1] * 50, "50 people .* has 0 possible genuine and 300 impostor pairs, but 5 of each"),
        (
            [3] * 4,
            "4 people .* has 6 possible genuine and 9 impostor pairs, but 5 of each are needed. Draw at most 24 pairs",
        ),
    ],
)
def test_too_few_people_or_images(counts, message):
    wanted = 20 if len(counts) != 4 else 28
    message = message if len(counts) != 4 else message.replace("5 of each", "7 of each")
    with pytest.raises(DataError, match=message):
        draw_pairs(labels_of(counts), wanted, 2, 0)


def test_all_pairs_are_every_pair_once():
    labels = np.array([2, 0, 1, 0, 2, 2, 7])
    drawn = all_pairs(labels)
    expected = {(i, j): labels[i] == labels[j] for i in range(7) for j in range(i + 1, 7)}
    found = dict(zip(zip(drawn.first_K.tolist(), drawn.second_K.tolist(), strict=True), drawn.same_K, strict=True))
    assert found == expected and len(drawn.same_K) == 21 and drawn.folds_K is None
    assert count_pairs(labels) == (4, 17) == (sum(expected.values()), 21 - sum(expected.values()))
    assert drawn.same_K[:4].all() and not drawn.same_K[4:].any()
    assert count_pairs(np.array([], dtype=np.int64)) == (0, 0)


def test_other_numbers_of_genuine_and_impostor_pairs():
    labels = labels_of([6] * 12)
    drawn = draw_counted_pairs(labels, 12, 40, 4, seed=1)
    for fold in range(4):
        same_K = drawn.same_K[drawn.folds_K == fold]
        assert same_K.tolist() == [True] * 3 + [False] * 10
    np.testing.assert_array_equal(labels[drawn.first_K] == labels[drawn.second_K], drawn.same_K)
    pairs = {frozenset(pair) for pair in zip(drawn.first_K.tolist(), drawn.second_K.tolist(), strict=True)}
    assert len(pairs) == 52
    halves = draw_pairs(labels, 40, 2, seed=3), draw_counted_pairs(labels, 20, 20, 2, seed=3)
    for ours, theirs in zip(*halves, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ConfigError, match="10 genuine and 40 impostor pairs in 4 folds: expected"):
        draw_counted_pairs(labels, 10, 40, 4, seed=1)
    with pytest.raises(DataError, match="15 and 4000 are needed"):
        draw_counted_pairs(labels, 15, 4000, 1, seed=1)


@pytest.mark.parametrize(
    ("most", "genuine", "impostor"), [(10_000, 180, 2595), (2775, 180, 2595), (1000, 180, 820), (100, 50, 50)]
)
def test_at_most_so_many_pairs(most, genuine, impostor):
    labels = labels_of([6] * 12 + [1] * 3)
    drawn = at_most(labels, most, seed=5)
    assert (int(drawn.same_K.sum()), int((~drawn.same_K).sum())) == (genuine, impostor)
    np.testing.assert_array_equal(labels[drawn.first_K] == labels[drawn.second_K], drawn.same_K)
    pairs = {frozenset(pair) for pair in zip(drawn.first_K.tolist(), drawn.second_K.tolist(), strict=True)}
    assert len(pairs) == genuine + impostor and drawn.folds_K is None
