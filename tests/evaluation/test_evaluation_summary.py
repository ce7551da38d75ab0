import json
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from facemargin.evaluation import (
    Bootstrap,
    PairScores,
    best_balanced_accuracy,
    error_versus_discard,
    roc_curve,
    summarize,
    summary_table,
    tar_at_far,
    verification_accuracy,
)
from facemargin.evaluation.figures import DEFAULT_FARS, Scope, list_metrics

FEW = Bootstrap(resamples=10)


def pair_scores(system="mine", **replaced):
    rng = np.random.default_rng(4)
    a = rng.integers(0, 10, 200)
    b = np.where(np.arange(200) % 2 == 0, a, (a + 1) % 10)
    values = {
        "scores_K": np.clip((rng.normal(size=200) + 2 * (a == b)) / 9, -1, 1),
        "same_K": a == b,
        "quality_a_K": rng.random(200),
        "quality_b_K": rng.random(200),
        "identities_a_K": a,
        "identities_b_K": b,
        "folds_K": np.arange(200) // 50,
    }
    return PairScores(system, "toy", **(values | replaced))


def test_a_summary_holds_what_each_metric_says():
    pairs = pair_scores()
    summary = summarize(pairs, fars=(0.05, 0.2), bootstrap=FEW)
    people = {"identities_a": pairs.identities_a_K, "identities_b": pairs.identities_b_K, "bootstrap": FEW}
    scores, same = pairs.scores_K, pairs.same_K
    quality = pairs.quality_a_K, pairs.quality_b_K
    assert (summary.system, summary.dataset, summary.genuine, summary.impostors) == ("mine", "toy", 100, 100)
    assert summary.accuracy == verification_accuracy(scores, same, pairs.folds_K, **people)
    assert summary.balanced_accuracy == best_balanced_accuracy(scores, same, **people)
    assert summary.tar_at_far == tar_at_far(scores, same, (0.05, 0.2), **people)
    assert summary.roc.eer_interval == roc_curve(scores, same, **people).eer_interval
    assert summary.error_versus_discard.limits == error_versus_discard(scores, same, *quality, **people).limits


def test_metrics_stand_in_the_json_where_they_say():
    summary = summarize(pair_scores(), bootstrap=None)
    whole = {metric.name: metric for metric in list_metrics(Scope.of([summary])) if not metric.by_quality}
    assert {name for name, metric in whole.items() if not metric.json_keys} == {
        f"tar_at_far_{far:g}" for far in DEFAULT_FARS
    }
    for metric in whole.values():
        content = summary.to_dict()
        for key in metric.json_keys:
            content = content[key]
        assert not metric.json_keys or content == metric.of(summary).value


def test_options_reach_the_metrics():
    pairs = pair_scores()
    summary = summarize(
        pairs, (0.07,), far_rule="nearest", folds=5, grid="insightface", discard_fmr=0.2, bootstrap=None
    )
    assert summary.accuracy == verification_accuracy(pairs.scores_K, pairs.same_K, 5, "insightface")
    assert summary.tar_at_far == tar_at_far(pairs.scores_K, pairs.same_K, (0.07,), "nearest")
    assert summary.error_versus_discard.fmr == 0.2


def test_what_the_pairs_do_not_say_is_left_out():
    bare = dict.fromkeys(("quality_a_K", "quality_b_K", "identities_a_K", "identities_b_K", "folds_K"))
    summary = summarize(pair_scores(**bare))
    assert summary.accuracy is None and summary.error_versus_discard is None
    assert summary.balanced_accuracy.interval is None
    assert summary.tar_at_far.points[0].interval is None


def test_a_single_fold_has_no_accuracy():
    assert summarize(pair_scores(folds_K=np.full(200, 3)), bootstrap=None).accuracy is None
    assert summarize(pair_scores(folds_K=np.zeros(200, int)), folds=4, bootstrap=None).accuracy is not None


def test_json_is_strict_and_complete():
    hopeless = np.where(pair_scores().same_K, 0.0, 0.5)
    summary = summarize(pair_scores(scores_K=hopeless), bootstrap=FEW)
    read = json.loads(summary.to_json(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert read == summary.to_dict()
    assert read["tar_at_far"]["points"][0]["threshold"] is None
    assert read["roc"]["far_T"] == summary.roc.far_T.tolist()
    assert read["accuracy"]["accuracies"] == list(summary.accuracy.accuracies)
    assert read["error_versus_discard"]["limits"][1]["limit"] == 0.2


def test_the_table_shows_every_figure_and_the_impostors_behind_it():
    pairs = pair_scores()
    mine = summarize(pairs, fars=(0.05,), bootstrap=FEW)
    bare = dict.fromkeys(("quality_a_K", "quality_b_K", "identities_a_K", "identities_b_K", "folds_K"))
    other = summarize(pair_scores("other", **bare), fars=(0.1,))
    console = Console(width=80, record=True, file=StringIO())
    console.print(summary_table([mine, other]))
    text = console.export_text()
    point = mine.tar_at_far.points[0]
    discard = mine.error_versus_discard

    def cells(label):
        return next(line for line in text.splitlines() if f" {label} " in line).split("│")[2:4]

    assert cells("TAR @ FAR 0.05 · impostors")[0].strip() == f"{point.tar:.1%} · {point.impostors_accepted}"
    assert f"{100 * point.interval[0]:.1f}–{point.interval[1]:.1%}" in text
    assert cells("accuracy ± std of folds")[0].strip() == f"{mine.accuracy.mean:.1%} ± {mine.accuracy.std:.1%}"
    assert cells("AUC")[1].strip() == f"{other.roc.auc:.4f}"
    assert cells("FNMR, nothing discarded")[0].strip() == f"{discard.fnmr_T[0]:.1%}"
    assert cells("FNMR, 20% discarded")[0].strip() == f"{discard.limits[1].fnmr:.1%}"
    for label in ("TAR @ FAR 0.05 · impostors", "accuracy ± std of folds", "FNMR, 20% discarded"):
        assert cells(label)[1].strip() == "–"
    assert cells("TAR @ FAR 0.1 · impostors")[0].strip() == "–"
    assert "Ranges are bootstrap intervals by identity." in text


def test_the_table_says_why_there_is_no_range():
    scores, same = np.array([0.9, 0.8, 0.2, 0.3, 0.1]), np.array([True, True, False, False, False])
    for people, said in ((1, "There are 2 people, which is too few"), (3, "has the same value in all resamples")):
        a = np.array([0, 1, 0, 0, 0])
        b = np.where(same, a, 1 + np.arange(5) % people)
        console = Console(width=200, record=True, file=StringIO())
        console.print(summary_table([summarize(PairScores("mine", "set", scores, same, None, None, a, b))]))
        text = " ".join(console.export_text().split())
        assert said in text and "Ranges" not in text


def test_the_table_leaves_out_rows_that_no_system_has():
    console = Console(width=80, record=True, file=StringIO())
    bare = dict.fromkeys(("quality_a_K", "quality_b_K", "identities_a_K", "identities_b_K", "folds_K"))
    console.print(summary_table([summarize(pair_scores(**bare))]))
    text = console.export_text()
    assert "best balanced accuracy" in text and "std of folds" not in text and "FNMR" not in text
    assert "Ranges" not in text
