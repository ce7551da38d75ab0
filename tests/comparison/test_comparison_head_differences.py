"""Heads against the first one, for other people and other seeds."""

import pytest

from facemargin.comparison.head_differences import head_differences
from facemargin.evaluation import Bootstrap, holm, method_difference
from tests.report.report_runs import pair_scores

FEW = Bootstrap(resamples=40)


def seeds(head, number, separation, **options):
    return [
        pair_scores(f"{head} {seed}", seed=10 * seed + number, separation=separation, **options)
        for seed in range(number)
    ]


def test_each_head_is_compared_with_the_first():
    scores = {"a": seeds("a", 3, 3.0), "b": seeds("b", 3, 2.0), "c": seeds("c", 2, 1.0)}
    found = head_differences(scores, (1e-3, 1e-2, 0.1), FEW)
    assert found.first == "a"
    assert [(row.head, row.point.target_far) for row in found.rows] == [(h, far) for h in "bc" for far in (1e-2, 0.1)]
    for row in found.rows:
        rows = [[one.scores_K for one in scores[head]] for head in (row.head, "a")]
        first = scores["a"][0]
        people = (first.identities_a_K, first.identities_b_K)
        (expected,) = method_difference(*rows, first.same_K, *people, row.point.target_far, FEW).points
        assert row.point == expected
    assert [row.adjusted_p for row in found.rows] == list(holm([row.point.p_value for row in found.rows]))
    assert found.notes == ("1 FAR left out: too few impostor pairs to accept one",)


def test_a_head_with_one_seed_is_named():
    found = head_differences({"a": seeds("a", 2, 3.0), "b": seeds("b", 1, 2.0), "c": seeds("c", 2, 2.0)}, (0.1,), FEW)
    assert [row.head for row in found.rows] == ["c"]
    assert found.notes == ("b: too few seeds to be compared with a",)


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ({"a": seeds("a", 1, 3.0), "b": seeds("b", 2, 2.0)}, "it takes at least 2 seeds of a and of another head"),
        ({"a": seeds("a", 2, 3.0), "b": []}, "it takes at least 2 seeds of a and of another head"),
        (
            {head: seeds(head, 2, 3.0, identities=False) for head in "ab"},
            "the pairs of people do not say which people they show",
        ),
        ({head: seeds(head, 2, 3.0, people=2) for head in "ab"}, "the pairs are of 2 people, too few to resample"),
    ],
)
def test_where_there_are_none_the_reason_is_said(scores, reason):
    found = head_differences(scores, (0.1,), FEW)
    assert found.rows == ()
    assert found.notes[0].startswith("no intervals of differences between heads: ")
    assert reason in found.notes[0]


def test_one_head_has_nothing_to_differ_from():
    assert head_differences({"a": seeds("a", 2, 3.0)}).notes == ()
