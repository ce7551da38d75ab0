"""Metrics take what people have, or say what to pass; they never take a label for what it is not."""

import warnings

import numpy as np
import pytest
import torch

from facemargin.errors import ConfigError, DataError, FacemarginError
from facemargin.evaluation import (
    PairScores,
    best_balanced_accuracy,
    centered_accuracy,
    error_versus_discard,
    evaluate_verification,
    identification,
    load_protocol,
    pair_scores,
    roc_curve,
    tar_at_far,
    verification_accuracy,
)
from facemargin.evaluation.metrics.rank_correlation import spearman_correlation

RNG = np.random.default_rng(0)
SAME = np.arange(40) % 2 == 0
SCORES = np.round(np.clip((RNG.normal(size=40) + SAME) / 5, -1, 1) * 64) / 64  # of few bits: float16 holds them, too

METRICS = {
    "tar_at_far": lambda scores, same: tar_at_far(scores, same, [0.1, 0.5]),
    "roc_curve": lambda scores, same: roc_curve(scores, same).auc,
    "verification_accuracy": lambda scores, same: verification_accuracy(scores, same, 4),
    "best_balanced_accuracy": best_balanced_accuracy,
    "error_versus_discard": lambda scores, same: error_versus_discard(scores, same, SCORES, SCORES).limits,
}
TAKEN = {
    "lists": (SCORES.tolist(), SAME.tolist()),
    "tensors": (torch.tensor(SCORES), torch.tensor(SAME)),
    "tensors of a graph": (torch.tensor(SCORES, requires_grad=True), torch.tensor(SAME)),
    "bfloat16": (torch.tensor(SCORES).bfloat16(), torch.tensor(SAME)),
    "float16": (SCORES.astype(np.float16), SAME),
    "objects": (SCORES.astype(object), SAME.astype(object)),
    "labels 0 and 1": (SCORES, SAME.astype(int)),
    "labels 0.0 and 1.0": (SCORES, SAME.astype(float)),
    "uint8 labels": (SCORES, SAME.astype(np.uint8)),
    "nothing masked": (np.ma.masked_less(SCORES, -9), np.ma.masked_array(SAME)),
}
REFUSED = {
    "labels -1 and 1": (SCORES, np.where(SAME, 1, -1), "same holds -1, 1; expected True .* pass same == 1 if"),
    "labels 1 and 2": (SCORES, np.where(SAME, 1, 2), "same holds 1, 2; expected True"),
    "texts": (SCORES, np.where(SAME, "1", "0"), "same holds '0', '1'; expected True .* pass same == '1' if"),
    "words": (SCORES, ["same" if one else "different" for one in SAME], "pass same == 'same' if"),
    "mixed": (SCORES, [1, "0"] * 20, "same holds '0', '1'"),
    "probabilities": (SCORES, np.linspace(0, 1, 40), r"same holds 0.0, 0.02\d+, .*, …; expected True"),
    "NaN": (SCORES, np.where(SAME, 1.0, np.nan), "same holds 1.0, nan"),
    "None": (SCORES, [True, None] * 20, "same holds 'None', 'True'"),
    "2-D": (SCORES[:, None], SAME[:, None], r"scores has shape \(40, 1\), .*pass scores.ravel\(\)"),
    "text scores": (SCORES.astype(str), SAME, "scores holds '.*expected real numbers"),
    "complex scores": (SCORES.astype(complex), SAME, "complex128.*expected real numbers"),
    "masked scores": (np.ma.masked_less(SCORES, 0), SAME, r"\d+ of 40 scores are masked; leave out .*scores\[~mask\]"),
    "masked labels": (SCORES, np.ma.masked_array(SAME, SCORES < 0), r"\d+ of 40 same are masked; leave out"),
    "ragged": ([[0.1], [0.2, 0.3]] * 20, SAME, "scores cannot be read as an array"),
    "a number": (0.5, SAME, r"scores has shape \(\)"),
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("given", TAKEN.values(), ids=TAKEN)
def test_what_says_the_same_gives_the_same(metric, given):
    assert metric(*given) == metric(SCORES, SAME)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize(("scores", "same", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_taken_for_something_else_is_refused(metric, scores, same, message):
    with pytest.raises(DataError, match=message):
        metric(scores, same)


def test_whole_numbers_are_scores():
    in_hundreds = (100 * SCORES).astype(int)
    assert tar_at_far(in_hundreds, SAME, 0.2) == tar_at_far(in_hundreds.astype(float), SAME, [0.2])


def test_one_rate_is_as_good_as_a_list_of_one():
    for rate in (0.1, np.float32(0.1), torch.tensor(0.1), (0.1,), np.array([0.1]), torch.tensor([0.1])):
        (point,) = tar_at_far(SCORES, SAME, rate).points
        assert type(point.target_far) is float
        assert point.target_far == pytest.approx(0.1)
    assert error_versus_discard(SCORES, SAME, SCORES, SCORES, limits=0.2).limits[0].limit == 0.2
    rows, people = RNG.normal(size=(6, 4)), list("abcabc")
    one = identification(rows, rows[:2], people, people[:2], ranks=1, fpirs=0.5)
    assert one == identification(rows, rows[:2], people, people[:2], ranks=(1,), fpirs=(0.5,))


@pytest.mark.parametrize(
    "call",
    [
        lambda: tar_at_far(SCORES, SAME, "0.1"),
        lambda: tar_at_far(SCORES, SAME, None),
        lambda: tar_at_far(SCORES, SAME, [[0.1]]),
        lambda: tar_at_far(SCORES, SAME, 2),
        lambda: tar_at_far(SCORES, SAME, 0.1, rule="best"),
        lambda: verification_accuracy(SCORES, SAME, 2.5),
        lambda: verification_accuracy(SCORES, SAME, None),
        lambda: verification_accuracy(SCORES, SAME, "ten"),
        lambda: verification_accuracy(SCORES, SAME, np.inf),
        lambda: evaluate_verification(len, "lfw.bin", "ours"),
        lambda: error_versus_discard(SCORES, SAME, SCORES, SCORES, fmr="1%"),
        lambda: error_versus_discard(SCORES, SAME, SCORES, SCORES, fnmr=[0.1]),
        lambda: error_versus_discard(SCORES, SAME, SCORES, SCORES, limits=("0.1",)),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], ranks=(1.5,)),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], ranks="1"),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], ranks=0),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], fpirs="0.1"),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], open_set_rank=1.5),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], candidates="images"),
        lambda: load_protocol("pairs", "orl:31-32", rule="best"),
        lambda: load_protocol("ijba", "."),
    ],
)
def test_settings_that_are_none_are_refused(call):
    with pytest.raises((ConfigError, DataError), match=r"expected|known|at least 1|outside"):
        call()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.eye(2), np.eye(2), [0, 1], ["0", "1"]), "mixes names and numbers; expected names"),
        ((np.eye(2), np.eye(2), [0, None], [0, 1]), r"probe_ids\[1\] is None or NaN.*1 of 2"),
        ((np.eye(2), np.eye(2), [0, 1], [0, np.nan]), r"gallery_ids\[1\] is None or NaN"),
        ((np.eye(2) * 1j, np.eye(2), [0, 1], [0, 1]), "probe holds .*expected real numbers"),
        ((np.eye(2), [["a", "b"]], [0, 1], [0]), "gallery holds 'a', 'b'"),
        ((np.eye(2)[0], np.eye(2), [0], [0, 1]), r"probe has shape \(2,\)"),
    ],
)
def test_searches_that_would_go_wrong_are_refused(arguments, message):
    with pytest.raises(DataError, match=message):
        identification(*arguments)


def test_searches_take_lists_and_tensors_of_any_precision():
    rows, people = np.round(RNG.normal(size=(6, 4)), 1).astype(np.float16), [0, 1, 2, 0, 1, 3]
    expected = identification(rows.astype(np.float32), rows[:3].astype(np.float32), people, people[:3])
    for probe, gallery in (
        (rows, rows[:3]),
        (rows.tolist(), rows[:3].tolist()),
        (torch.tensor(rows), torch.tensor(rows[:3], requires_grad=True)),
    ):
        assert identification(probe, gallery, torch.tensor(people), people[:3]) == expected
    assert identification(rows, rows[:3], list("abcabd"), list("abc")).rank_rates == expected.rank_rates


def test_pairs_of_rows_take_lists_and_no_masks():
    vectors = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
    np.testing.assert_allclose(pair_scores(vectors, [0, 0], [1, 2]), [0.6, 0])
    np.testing.assert_allclose(pair_scores(torch.tensor(vectors).half(), [0], [1]), [0.6], atol=1e-3)
    assert pair_scores(np.array([[1, 0], [3, 4]]), [0], [1]).tolist() == [3.0]
    for first in ([True, False], [0.5, 1.5], ["0", "1"]):
        with pytest.raises(DataError, match=r"first holds .*expected row numbers, which are whole numbers"):
            pair_scores(vectors, first, [0, 1])
    with pytest.raises(DataError, match=r"expected \(S, D\)"):
        pair_scores([1.0, 0.0], [0], [1])


@pytest.mark.parametrize("missing", [None, np.nan])
def test_people_that_are_not_known_are_not_one_person(missing):
    people = [missing if number < 4 else number for number in range(40)]
    with pytest.raises(DataError, match=r"identities_a\[0\] is None or NaN.*4 of 40 are missing"):
        roc_curve(SCORES, SAME, people, people)


@pytest.mark.parametrize("candidates", ["entries", "people"])
def test_arrays_that_run_backwards_are_arrays(candidates):
    vectors = RNG.normal(size=(6, 4))
    ids, failed = np.array([0, 1, 2, 0, 1, 2]), np.array([False, True] * 3)

    def of(turned):
        rows = [turned(one) for one in (vectors, vectors, ids, ids)]
        given = {"probe_failed": turned(failed), "gallery_failed": turned(failed), "candidates": candidates}
        return identification(*rows, ranks=(1, 2), fpirs=0.1, **given)

    assert repr(of(lambda one: one[::-1])) == repr(of(lambda one: one[::-1].copy()))
    first, second = np.array([0, 1, 2]), np.array([3, 3, 1])
    backwards = pair_scores(vectors[::-1], first[::-1], second[::-1])
    np.testing.assert_array_equal(backwards, pair_scores(vectors[::-1].copy(), first[::-1].copy(), second[::-1].copy()))


@pytest.mark.parametrize("kind", [np.uint64, np.float64])
def test_people_with_neighbouring_numbers_are_two(kind):
    """As float64, which NumPy takes unsigned and signed integers together for, 2**53 and 2**53 + 1 are one."""
    vectors = np.eye(3)[[0, 1]]
    large = [2**53, 2**53 - 1] if kind is np.float64 else [2**53, 2**53 + 1]
    found = identification(vectors, vectors[::-1], np.array(large, kind), np.array(large[::-1]), ranks=1, fpirs=0.1)
    assert found.rank_rates == {1: 1.0}
    for wrong in ([2.0**54, 3], [0.5, 1]):
        with pytest.raises(DataError, match=r"probe_ids holds .* expected names or whole numbers"):
            identification(vectors, vectors, np.array(wrong), [0, 1], ranks=1, fpirs=0.1)


def test_stored_scores_take_lists():
    stored = PairScores("mine", "set", [0.5, 0.1], [True, False], identities_a_K=[1, 2], identities_b_K=[1, 3])
    assert stored.scores_K.tolist() == [0.5, 0.1]
    with pytest.raises(DataError, match="pass labels == 1"):
        PairScores("mine", "set", [0.5, 0.1], [1, 0])


@pytest.mark.parametrize("value", [None, "x", 1, [], [[]], [None], {}, {"a": 1}, object(), lambda: 0, np.empty((0, 0))])
def test_whatever_is_passed_the_error_is_one_of_ours(value):
    given = [value] if value is None else value  # None stands for not given
    calls = [
        lambda: tar_at_far(value, SAME, [0.1]),
        lambda: tar_at_far(SCORES, value, [0.1]),
        lambda: verification_accuracy(SCORES, SAME, 4, identities_a=given, identities_b=SCORES),
        lambda: error_versus_discard(SCORES, SAME, value, SCORES),
        lambda: identification(value, np.eye(2), [0, 1], [0, 1]),
        lambda: identification(np.eye(2), value, [0, 1], [0, 1]),
        lambda: identification(np.eye(2), np.eye(2), value, [0, 1]),
        lambda: identification(np.eye(2), np.eye(2), [0, 1], [0, 1], probe_failed=given),
        lambda: pair_scores(value, [0], [1]),
        lambda: pair_scores(np.eye(2), value, [1]),
        lambda: centered_accuracy(value, SCORES, SAME),
        lambda: spearman_correlation(value),
    ]
    for call in calls:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(FacemarginError):
                call()
