from dataclasses import replace

import numpy as np
import pytest

from facemargin.evaluation import Bootstrap, holm, paired_difference
from facemargin.evaluation.differences_table import difference_cells, differences_table
from facemargin.evaluation.metrics.bootstrap import identity_multiplicities
from facemargin.evaluation.system_differences import system_differences
from tests.report.report_runs import pair_scores

FEW = Bootstrap(resamples=40)


def systems(**options):
    return [pair_scores(f"system {seed}", seed=seed, separation=4.0 - seed, **options) for seed in range(3)]


def test_the_first_system_is_compared_with_each_other_one():
    first, *others = systems()
    found = system_differences([first, *others], (1e-3, 1e-2, 0.1), FEW)
    assert [(row.first, row.second, row.point.target_far) for row in found.rows] == [
        ("system 0", other, far) for other in ("system 1", "system 2") for far in (1e-2, 0.1)
    ]
    for row in found.rows:
        other = next(system for system in others if system.system == row.second)
        arguments = (first.same_K, first.identities_a_K, first.identities_b_K)
        expected = paired_difference(first.scores_K, other.scores_K, *arguments, row.point.target_far, FEW).points[0]
        assert row.point == expected
    assert [row.adjusted_p for row in found.rows] == list(holm([row.point.p_value for row in found.rows]))
    notes = " ".join(found.notes)
    assert "6 people were resampled" in notes and "4 comparisons" in notes
    assert "resamples left out" not in notes
    assert "1 FAR left out: there are too few impostor pairs" in notes  # 540 impostor pairs cannot tell 0.1 %


def test_without_people_there_is_no_interval_and_the_reason_is_said():
    found = system_differences(systems(identities=False))
    assert found.rows == ()
    (note,) = found.notes
    assert "do not say which people they show" in note and "not independent" in note


def test_two_people_are_too_few():
    (note,) = system_differences(systems(people=2)).notes
    assert "the pairs are of 2 people, too few to resample" in note


def test_resamples_without_pairs_of_both_kinds_are_counted():
    """One of nine draws of three people has one person three times, and no impostor pair."""
    found = system_differences(systems(people=3), (0.1,), FEW)
    drawn = identity_multiplicities(3, FEW)
    alone = sum(int(count.max()) == 3 for count in drawn)
    assert 0 < alone == 40 - found.rows[0].point.resamples
    assert f"{alone} of 40 resamples left out: the people drawn had no pairs of both kinds." in found.notes
    assert difference_cells(found.rows[0])[3].endswith("(–)") and "or – if the people are too few" in found.notes[2]


def test_one_system_has_nothing_to_differ_from():
    assert system_differences(systems()[:1]).notes == ()


def test_systems_of_other_pairs_have_no_differences():
    first, second, _ = systems()
    swapped = replace(second, identities_a_K=second.identities_a_K[::-1].copy())
    found = system_differences([first, swapped])
    assert not found.rows and "system 0 and system 1 were scored on different pairs of people" in found.notes[0]


def test_people_that_only_one_system_names():
    first, second, _ = systems()
    nameless = replace(second, identities_a_K=None, identities_b_K=None)
    for pair in ([first, nameless], [nameless, first]):
        found = system_differences(pair)
        assert not found.rows and "do not say which people they show" in found.notes[0]


def test_the_table_says_what_a_difference_stands_on():
    found = system_differences(systems(), (0.1,), FEW)
    difference, p, adjusted, error, behind = difference_cells(found.rows[0])
    point = found.rows[0].point
    assert difference.startswith(f"{100 * point.difference:+.2f}".replace("-", "−")) and " to " in difference
    assert (float(p), float(adjusted)) == (
        pytest.approx(point.p_value, abs=1e-3), pytest.approx(found.rows[0].adjusted_p, abs=1e-3),
    )  # fmt: skip
    assert error == f"{100 * np.sqrt(point.variance):.2f} ({100 * np.sqrt(point.unbiased_variance):.2f})"
    assert behind == f"54 ({point.people[0]})\n54 ({point.people[1]})"
    assert differences_table(found).row_count == 2
