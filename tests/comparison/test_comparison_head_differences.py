"""Heads against the first one, for other people and other seeds."""

import pytest

from facemargin.comparison.head_differences import head_differences
from facemargin.evaluation import Bootstrap, holm, method_difference
from tests.report.report_runs import pair_scores

FEW = Bootstrap(resamples=40)


def seeds(head, which, separation, **options):
    return {
        seed: pair_scores(f"{head} {seed}", seed=10 * seed + ord(head), separation=separation, **options)
        for seed in which
    }


def test_each_head_is_compared_with_the_first():
    scores = {"a": seeds("a", (0, 1, 2), 3.0), "b": seeds("b", (0, 1, 2), 2.0), "c": seeds("c", (2, 0), 1.0)}
    found = head_differences(scores, (1e-3, 1e-2, 0.1), FEW)
    assert found.first == "a"
    assert [(row.head, row.point.target_far) for row in found.rows] == [(h, far) for h in "bc" for far in (1e-2, 0.1)]
    for row in found.rows:
        both = [0, 2] if row.head == "c" else [0, 1, 2]
        rows = [[scores[head][seed].scores_K for seed in both] for head in (row.head, "a")]
        first = scores["a"][0]
        people = (first.identities_a_K, first.identities_b_K)
        (expected,) = method_difference(*rows, first.same_K, *people, row.point.target_far, FEW).points
        assert row.point == expected
    assert [row.adjusted_p for row in found.rows] == list(holm([row.point.p_value for row in found.rows]))
    assert found.notes == (
        "c: 2 seeds in common with a instead of 3",
        "1 FAR left out: too few impostor pairs to accept one",
    )


def test_a_head_with_one_seed_is_named():
    scores = {"a": seeds("a", (0, 1), 3.0), "b": seeds("b", (1,), 2.0), "c": seeds("c", (0, 1), 2.0)}
    found = head_differences(scores, (0.1,), FEW)
    assert [row.head for row in found.rows] == ["c"]
    assert found.notes == ("b: 1 seed in common with a, too few to be compared",)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        (
            {"a": seeds("a", (0,), 3.0), "b": seeds("b", (0, 1), 2.0)},
            "it takes at least 2 seeds of a and of another head",
        ),
        ({"a": seeds("a", (0, 1), 3.0), "b": {}}, "it takes at least 2 seeds of a and of another head"),
        (
            {head: seeds(head, (0, 1), 3.0, identities=False) for head in "ab"},
            "the pairs of people do not say which people they show",
        ),
        ({head: seeds(head, (0, 1), 3.0, people=2) for head in "ab"}, "the pairs are of 2 people, too few to resample"),
    ],
)
def test_where_there_are_none_the_reason_is_said(scores, reason):
    found = head_differences(scores, (0.1,), FEW)
    assert found.rows == ()
    assert found.notes[0].startswith("no intervals of differences between heads: ")
    assert reason in found.notes[0]


def test_one_head_has_nothing_to_differ_from():
    assert head_differences({"a": seeds("a", (0, 1), 3.0)}).notes == ()
