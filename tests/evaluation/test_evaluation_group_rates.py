"""The rates of groups against loops over people, and their certified bounds in simulated populations."""

import itertools
import json
import math

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import PairScores, certified_upper_bound, group_rates
from facemargin.evaluation.groups import ImageGroups, groups_of
from facemargin.evaluation.groups_table import group_notes, group_rows, groups_tables, worst_text
from facemargin.evaluation.metrics.group_results import GroupRate
from facemargin.evaluation.number_format import small_limit


def images_of(people, images, seed=0):
    """Person, group (a camera) and fixed label of each image; all pairs, some left out; scores."""
    rng = np.random.default_rng(seed)
    person_S = np.repeat(np.arange(people), images)
    camera_S = rng.choice(["left", "right", ""], len(person_S), p=[0.5, 0.4, 0.1])
    site_S = np.array(["north", "south", "west"])[person_S % 7 // 3]
    a_K, b_K = np.triu_indices(len(person_S), 1)
    same_K = person_S[a_K] == person_S[b_K]
    scores_K = np.round(rng.normal(size=len(a_K)) + 2.0 * same_K, 1)
    return person_S, camera_S, site_S, a_K, b_K, same_K, scores_K


def by_hand(scores, same, a, b, groups_a, groups_b, cut, pair):
    """(rate, errors, image pairs, people, people in error) of the pairs of two groups, FMR and FNMR, by loops."""
    found = {}
    for name in ("FMR", "FNMR"):
        shares = {}
        for score, genuine, one, other, first, second in zip(scores, same, a, b, groups_a, groups_b, strict=True):
            if genuine == (name == "FNMR") and sorted((first, second)) == sorted(pair):
                wrong = score >= cut if name == "FMR" else score < cut
                shares.setdefault((min(one, other), max(one, other)), []).append(wrong)
        if shares:
            rate = math.fsum(sum(wrong) / len(wrong) for wrong in shares.values()) / len(shares)
            people = {person for key in shares for person in key}
            in_error = {person for key, wrong in shares.items() if any(wrong) for person in key}
            wrongs = [wrong for share in shares.values() for wrong in share]
            found[name] = (rate, sum(wrongs), len(wrongs), len(people), len(in_error))
    return found


@pytest.mark.parametrize("label", ["camera", "site"])
def test_the_rates_are_those_of_loops_over_people(label):
    person_S, camera_S, site_S, a_K, b_K, same_K, scores_K = images_of(14, 3)
    label_S = camera_S if label == "camera" else site_S
    kept = np.random.default_rng(1).random(len(a_K)) < 0.8
    a_K, b_K, same_K, scores_K = a_K[kept], b_K[kept], same_K[kept], scores_K[kept]
    one, other = person_S[a_K], person_S[b_K]
    found = group_rates(scores_K, same_K, one, other, label_S[a_K], label_S[b_K], threshold=1.2)
    names = sorted(set(label_S) - {""})
    assert found.groups == tuple(names) and found.fmr is None and found.threshold == 1.2
    seen = 0
    for pair in itertools.combinations_with_replacement(names, 2):
        expected = by_hand(scores_K, same_K, one, other, label_S[a_K], label_S[b_K], 1.2, pair)
        for name in ("FMR", "FNMR"):
            rate = found.rate(name, *pair)
            assert (rate is None) == (name not in expected)
            if rate is not None:
                seen += 1
                share, *counts = expected[name]
                assert rate.observed == pytest.approx(share, abs=1e-14)
                assert [rate.errors, rate.pairs, rate.people, rate.people_in_error] == counts
                assert rate.certified == certified_upper_bound(rate.observed, rate.units, found.confidence_of_each)
    assert seen == len(found.rates) and found.confidence_of_each == pytest.approx(1 - 0.05 / (seen + 2))
    without = sum("" in pair for pair in zip(label_S[a_K], label_S[b_K], strict=True))
    assert found.without_group == without and (without > 0) == (label == "camera")


def test_the_threshold_is_the_lowest_with_the_fmr_of_all_pairs_of_people():
    person_S, _, site_S, a_K, b_K, same_K, scores_K = images_of(14, 3)
    # one person has many images: whoever counted image pairs would find another threshold
    weights = np.where((person_S[a_K] == 0) | (person_S[b_K] == 0), 5, 1)
    a_K, b_K, same_K, scores_K = (np.repeat(values, weights) for values in (a_K, b_K, same_K, scores_K))
    one, other = person_S[a_K], person_S[b_K]
    found = group_rates(scores_K, same_K, one, other, site_S[a_K], site_S[b_K], fmr=0.05)

    def fmr(cut):
        everyone = [""] * len(one)
        return by_hand(scores_K, same_K, one, other, everyone, everyone, cut, ("", ""))["FMR"][0]

    assert found.overall[0].observed == pytest.approx(fmr(found.threshold)) and fmr(found.threshold) <= 0.05
    below = max(
        score for score, genuine in zip(scores_K, same_K, strict=True) if score < found.threshold and not genuine
    )
    assert fmr(below) > 0.05 and found.threshold == np.nextafter(below, np.inf)


def independent(edges):
    """The largest number of edges that share nobody, in parts of equal size: every edge coloring, by brute force."""
    for parts in range(1, len(edges) + 1):
        for coloring in itertools.product(range(parts), repeat=len(edges)):
            of_part = [[edge for edge, color in zip(edges, coloring, strict=True) if color == c] for c in range(parts)]
            if all(len({person for edge in part for person in edge}) == 2 * len(part) for part in of_part):
                return len(edges) // parts
    raise AssertionError


@pytest.mark.parametrize(
    ("edges", "label", "units"),
    [
        ([(0, 1), (0, 2), (1, 2)], "aaa", 1),
        ([(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)], "aaaa", 2),
        ([(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)], "aabbb", 2),
        ([(0, 1), (2, 3), (4, 5)], "aaaaaa", 1),  # Vizing's bound is one more than the three of a perfect matching
        ([(0, 3), (1, 4), (2, 5)], "aaabbb", 3),
    ],
)
def test_the_independent_terms_are_no_more_than_an_edge_coloring_has(edges, label, units):
    first, second = (np.array(side) for side in zip(*edges, strict=True))
    groups = np.array(list(label))
    scores, same = np.append(np.zeros(len(edges)), 1.0), np.append(np.zeros(len(edges), bool), True)
    a, b = np.append(first, 9), np.append(second, 9)
    found = group_rates(
        scores, same, a, b, np.append(groups[first], "z"), np.append(groups[second], "z"), threshold=0.5
    )
    assert found.rate("FMR", label[0], label[-1]).units == units <= independent(edges)


@pytest.mark.slow
def test_the_bounds_hold_together_in_nineteen_of_twenty_samples():
    """A tight population: two groups of which a share of the people match everybody, so that a group without any of
    them breaks the bound."""
    share, people, broken = 0.22, 20, 0
    truth = 1 - (1 - share) ** 2
    draws = 200
    for draw in range(draws):
        rng = np.random.default_rng((5, draw))
        wolf_S = rng.random(2 * people) < share
        a_K, b_K = np.triu_indices(2 * people, 1)
        scores_K = np.append((wolf_S[a_K] | wolf_S[b_K]).astype(float), np.ones(2 * people))
        a_K, b_K = np.append(a_K, np.arange(2 * people)), np.append(b_K, np.arange(2 * people))
        found = group_rates(scores_K, a_K == b_K, a_K, b_K, a_K >= people, b_K >= people, threshold=0.5)
        assert [rate.units for rate in found.rates[:3]] == [people // 2, people, people // 2]
        broken += any(rate.name == "FMR" and rate.certified < truth for rate in found.rates)
    assert 1 <= broken <= 0.05 * draws  # it is tight: 0 would be a bound that never holds anything


def wrapped(**changed):
    rate = {"name": "FMR", "groups": ("a", "a"), "observed": 0.01, "certified": 0.1, "estimated": None, "errors": 1}
    rate |= {"pairs": 100, "people": 20, "people_in_error": 2, "units": 10, "too_small": ""}
    return GroupRate(**(rate | changed))


@pytest.mark.parametrize(
    ("certified", "text"),
    [(0.1, "10.0%"), (0.123449, "12.4%"), (0.1231, "12.4%"), (1.0, "100%"), (0.99961, "100%"), (2.0001e-5, "0.00201%")],
)
def test_a_bound_is_rounded_up(certified, text):
    assert small_limit(certified) == text


def found_of(fmr=0.1, threshold=None):
    pairs = open_verification("orl:1-40")
    rng = np.random.default_rng(0)
    quality_N = rng.random(len(pairs.images))
    person_N = pairs.identities_N
    hard_K = (person_N[pairs.first_K] < 15) & (person_N[pairs.second_K] < 15)
    scores_K = rng.normal(size=len(pairs)) + 3 * pairs.same_K + 0.5 * hard_K
    scores = PairScores(
        "mine", pairs.name, scores_K, pairs.same_K, quality_N[pairs.first_K], quality_N[pairs.second_K],
        person_N[pairs.first_K], person_N[pairs.second_K],
    )  # fmt: skip
    label = ["", *["young"] * 14, *["old"] * 22, *["few"] * 3]
    groups = ImageGroups.of(pairs, {"age": [label[person] for person in person_N]}, fmr, threshold)
    return scores, groups, quality_N, person_N


def test_a_column_is_told_in_words_and_numbers():
    scores, groups, quality_N, person_N = found_of()
    (found,) = groups_of(scores, groups)
    assert found.rates.groups == ("few", "old", "young")
    assert found.images_without_group == 10 and found.images == 400
    young = quality_N[(person_N >= 1) & (person_N < 15)]
    assert found.quality["young"].mean == pytest.approx(young.mean())
    assert found.quality["young"].quantiles == pytest.approx(np.quantile(young, [0.1, 0.5, 0.9]))
    assert found.rates.rate("FMR", "few").too_small == "3 people"
    fmr, _ = found.rates.worst
    rates = {name: found.rates.rate("FMR", name).observed for name in ("old", "young")}
    assert (fmr.group, fmr.left_out) == ("young", ("few",))
    assert fmr.over_smallest == pytest.approx(rates["young"] / rates["old"])
    assert fmr.over_geometric_mean == pytest.approx(rates["young"] / math.sqrt(rates["young"] * rates["old"]))
    notes = " ".join(group_notes(found))
    for text in (
        "at most 10% of all pairs, chosen on these pairs", "Largest FMR: young", "Left out as too small: few",
        "10 of 400 images have no group; the 3,945 pairs with one of them", "a little too low",
    ):  # fmt: skip
        assert text in notes
    rows = dict(group_rows(found))
    assert rows["few"][2][1] == "too small to say: 3 people" and rows["all pairs"][1][0] == "10.0%"
    table, matrix = groups_tables(found)
    assert table.row_count == 4 and matrix.row_count == 3
    (given,) = groups_of(*found_of(fmr=None, threshold=2.0)[:2])
    assert given.rates.threshold == 2.0 and "which was given" in " ".join(group_notes(given))
    assert "too low" not in " ".join(group_notes(given))


def test_groups_without_error_have_no_ratio():
    scores, groups, *_ = found_of(fmr=None, threshold=100.0)
    (found,) = groups_of(scores, groups)
    assert found.rates.worst[0].over_smallest is None
    assert worst_text(found.rates.worst[0]).startswith("No ratio of FMRs: fewer than two groups are large enough.")
    assert found.rates.rate("FMR", "old").too_small == "fewer than 1 error expected"
    assert found.rates.worst[1].over_smallest == 1  # everybody is rejected


def test_groups_are_written_and_read(tmp_path):
    _, groups, *_ = found_of()
    groups.save(tmp_path / "groups.npz")
    again = ImageGroups.load(tmp_path / "groups.npz")
    assert (again.columns, again.names, again.fmr) == (["age"], [["few", "old", "young"]], 0.1)
    np.testing.assert_array_equal(again.labels_CN, groups.labels_CN)
    facts = json.dumps({"dataset": "x", "columns": ["a"], "names": [["b"]], "fmr": 0.1, "threshold": None})
    arrays = {"labels_CN": np.array([[0, 1]]), "first_K": np.array([0]), "second_K": np.array([1])}
    np.savez(tmp_path / "bad.npz", facts=np.array(facts), **arrays)
    with pytest.raises(DataError, match=r"bad\.npz is not a file of groups: a label is not the number of one of the 1"):
        ImageGroups.load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"fmr": 0.1, "threshold": 1.0}, ConfigError, "either fmr or threshold"),
        ({}, ConfigError, "either fmr or threshold"),
        ({"fmr": 1.0}, ConfigError, "fmr is 1, expected a rate between 0 and 1"),
        ({"fmr": math.nan}, ConfigError, "fmr is nan"),
        ({"threshold": math.inf}, ConfigError, "threshold is inf, expected a finite number"),
        ({"fmr": 0.1, "confidence": 1.0}, ConfigError, "confidence is 1"),
        ({"fmr": 0.1, "groups_a": ["", "", ""], "groups_b": [None, None, None]}, DataError, "no image has a group"),
        ({"fmr": 0.1, "groups_a": ["x"]}, DataError, r"groups_a has shape \(1,\), expected \(3,\)"),
    ],
)
def test_what_cannot_be_computed_is_refused(changed, error, message):
    arguments = {"groups_a": ["x", "x", "y"], "groups_b": ["x", "y", "y"]} | changed
    with pytest.raises(error, match=message):
        group_rates([0.1, 0.2, 0.9], [0, 0, 1], [0, 0, 1], [1, 2, 1], **arguments)


def test_too_many_groups_are_refused():
    a, b = np.triu_indices(60)
    with pytest.raises(DataError, match=r"there are 60 groups \(0, 1, 10, …\), expected at most 50"):
        group_rates(np.zeros(len(a)), a == b, a, b, a, b, threshold=0.5)
