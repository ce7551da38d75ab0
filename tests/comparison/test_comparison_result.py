import json
import math
from dataclasses import replace

import numpy as np
import pytest

from facemargin.comparison.result import (
    ComparedSet,
    HeadComparison,
    HeadRun,
    Spread,
    best_head,
    compared_metrics,
    metric_values,
    near_best,
    spread,
)
from facemargin.evaluation import PairScores, summarize
from facemargin.evaluation.figures import Metric

RATE = Metric("tar", "TAR")
AREA = Metric("area", "area", higher_is_better=False, is_rate=False)


def pair_scores(num_pairs=400, folds=False, quality=True):
    rng = np.random.default_rng(0)
    same_K = rng.random(num_pairs) < 0.4
    quality_K = rng.random(num_pairs) if quality else None
    return PairScores(
        "facemargin", "people", 1.5 * same_K + rng.normal(size=num_pairs), same_K,
        quality_a_K=quality_K, quality_b_K=quality_K, folds_K=np.arange(num_pairs) % 5 if folds else None,
    )  # fmt: skip


def test_the_values_are_those_of_the_summary():
    summary = summarize(pair_scores(), bootstrap=None)
    values = metric_values(summary)
    limit = summary.error_versus_discard.limits[2]
    assert limit.limit == 0.3
    assert values == {
        "balanced_accuracy": summary.balanced_accuracy.value,
        "tar_at_far_0.1": summary.tar_at_far.points[2].tar,
        "tar_at_far_0.01": summary.tar_at_far.points[1].tar,
        "tar_at_far_0.001": summary.tar_at_far.points[0].tar,
        "pauc": limit.pauc,
        "relative_pauc": limit.relative_to_start,
    }
    assert len(set(values.values())) == 6


def test_folds_give_their_accuracy_instead_of_the_fitted_one():
    summary = summarize(pair_scores(folds=True), bootstrap=None)
    values = metric_values(summary)
    assert values["accuracy"] == summary.accuracy.mean
    assert "balanced_accuracy" not in values


def test_without_qualities_there_are_no_areas():
    assert not {"pauc", "relative_pauc"} & metric_values(summarize(pair_scores(quality=False), bootstrap=None)).keys()


def test_a_spread_is_the_mean_and_the_sample_standard_deviation():
    values = [0.1, 0.4, 0.25, 0.9]
    mean = sum(values) / 4
    std = (sum((value - mean) ** 2 for value in values) / 3) ** 0.5
    found = spread([*values, math.nan])
    assert (found.mean, found.std, found.n) == (pytest.approx(mean), pytest.approx(std), 4)


def test_one_value_has_no_known_deviation():
    found = spread([0.5])
    assert (found.mean, found.n) == (0.5, 1) and math.isnan(found.std)
    assert spread([]) is None and spread([math.nan]) is None


def test_the_best_is_the_highest_or_the_lowest_mean():
    spreads = {"a": Spread(0.5, 0.1, 3), "b": Spread(0.7, 0.1, 3), "c": Spread(0.4, 0.1, 3)}
    assert best_head(spreads, RATE) == "b"
    assert best_head(spreads, AREA) == "c"
    assert best_head({"a": Spread(0.5, 0.1, 3)}, RATE) is None
    assert best_head({}, RATE) is None


@pytest.mark.parametrize("metric", [RATE, AREA])
def test_near_the_best_are_those_within_one_pooled_deviation(metric):
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(50):
        spreads = {f"h{i}": Spread(rng.normal(), rng.uniform(0, 2), 3) for i in range(4)}
        means = {head: one.mean for head, one in spreads.items()}
        best = max(means, key=means.get) if metric is RATE else min(means, key=means.get)
        expected = set()
        for head, one in spreads.items():
            pooled = ((one.std**2 + spreads[best].std ** 2) / 2) ** 0.5
            if head != best and abs(one.mean - spreads[best].mean) <= pooled:
                expected.add(head)
        assert near_best(spreads, metric) == expected
        found += len(expected)
    assert 20 < found < 130  # neither none nor all


def test_nothing_is_near_the_best_where_deviations_are_not_known():
    spreads = {"a": Spread(0.5, math.nan, 1), "b": Spread(0.5001, 0.1, 3)}
    assert near_best(spreads, RATE) == set()
    assert near_best({"a": Spread(0.5, 0.1, 2)}, RATE) == set()


def comparison():
    def run(head, seed, tar):
        metrics = {name: {"tar_at_far_0.1": tar, "relative_pauc": math.nan} for name in ("x", "x-degraded")}
        return HeadRun(head, seed, metrics)

    runs = [run("a", 0, 0.5), run("b", 0, 0.6), run("a", 1, 0.7), HeadRun("b", 1, {}, failure="loss is NaN")]
    return HeadComparison(["a", "b"], [0, 1], [ComparedSet("x", "x-degraded", 10, 20)], runs)


def test_a_comparison_gathers_the_seeds_of_each_head():
    one = comparison()
    tar, relative = one.metrics_of("x")
    assert [tar.name, relative.name] == ["tar_at_far_0.1", "relative_pauc"] and tar in compared_metrics()
    assert one.values("x", tar, "a") == [0.5, 0.7]
    spreads = one.spreads("x", tar)
    assert (spreads["a"].mean, spreads["a"].n, spreads["b"].n) == (pytest.approx(0.6), 2, 1)
    assert one.spreads("x", relative) == {}
    assert [(run.head, run.seed) for run in one.failures()] == [("b", 1)]
    assert one.metrics_of("y") == []
    assert replace(one, heads=["b"]).spreads("x", tar).keys() == {"b"}


def test_a_comparison_is_plain_json():
    content = json.loads(json.dumps(comparison().to_dict(), allow_nan=False))
    assert content["spreads"]["x-degraded"]["tar_at_far_0.1"]["a"] == {
        "mean": 0.6,
        "std": pytest.approx(0.02**0.5),
        "n": 2,
    }
    assert content["spreads"]["x"]["tar_at_far_0.1"]["b"]["std"] is None
    assert content["runs"][0]["metrics"]["x"] == {"tar_at_far_0.1": 0.5, "relative_pauc": None}
    assert content["runs"][3]["failure"] == "loss is NaN"
