"""The results of heads trained with the same recipe and several seeds, and whether they differ by more than the seeds
do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from facemargin.comparison.head_differences import HeadDifferences
from facemargin.evaluation.figures import Metric, Scope, largest_far_first, list_metrics
from facemargin.evaluation.plain import plain
from facemargin.evaluation.summary import VerificationSummary


def compared_metrics() -> list[Metric]:
    """The metrics by which heads are compared, in the order of tables and figures."""
    return [metric for metric in largest_far_first(list_metrics(Scope())) if metric.heading]


def metric_values(summary: VerificationSummary) -> dict[str, float]:
    """The values of the `compared_metrics` in a summary, by name. Balanced accuracy is left out if there is an accuracy
    over folds. A metric for which the summary has no value (for example the areas under error versus discard without
    qualities) is left out, too."""
    measured = {metric.name: metric.of(summary) for metric in compared_metrics()}
    values = {name: number.value for name, number in measured.items() if number is not None}
    if "accuracy" in values:
        del values["balanced_accuracy"]
    return values


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (with n − 1; NaN for one seed) of one metric over `n` seeds."""

    mean: float
    std: float
    n: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of the finite values; None if there are none."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    mean = math.fsum(finite) / len(finite)
    squares = math.fsum((value - mean) ** 2 for value in finite)
    return Spread(mean, math.sqrt(squares / (len(finite) - 1)) if len(finite) > 1 else math.nan, len(finite))


@dataclass(frozen=True)
class HeadRun:
    """One head trained with one seed: `metrics` by test set and name, or the reason why it failed.

    `settings` describes the head and `machine` the hardware, both as text. `training_seconds` is None for a run that
    was interrupted, because the time before the interruption is not known.
    """

    head: str
    seed: int
    metrics: Mapping[str, Mapping[str, float]]
    failure: str | None = None
    settings: str = ""
    machine: str = ""
    images_seen: int = 0
    training_seconds: float | None = None
    evaluation_seconds: float | None = None


@dataclass(frozen=True)
class ComparedSet:
    """The names of a test set and of its degraded twin, and the number of pairs in each of them."""

    clean: str
    degraded: str
    genuine: int
    impostors: int


@dataclass(frozen=True)
class HeadComparison:
    """Every run of every head. Tables and figures show the heads in the order of `heads`."""

    heads: Sequence[str]
    seeds: Sequence[int]
    sets: Sequence[ComparedSet]
    runs: Sequence[HeadRun]
    differences: Mapping[str, HeadDifferences] = field(default_factory=dict)
    """By data set, clean and degraded: the other heads against the first."""

    def metrics_of(self, dataset: str) -> list[Metric]:
        """The metrics that the runs have on a data set."""
        known = {name for run in self.runs for name in run.metrics.get(dataset, {})}
        return [metric for metric in compared_metrics() if metric.name in known]

    def values(self, dataset: str, metric: Metric, head: str) -> list[float]:
        """The values of a metric from all runs of the head that have it."""
        of_head = [run.metrics[dataset] for run in self.runs if run.head == head and dataset in run.metrics]
        return [values[metric.name] for values in of_head if metric.name in values]

    def spreads(self, dataset: str, metric: Metric) -> dict[str, Spread]:
        """The spread over seeds of each head that has numbers."""
        all_spreads = {head: spread(self.values(dataset, metric, head)) for head in self.heads}
        return {head: head_spread for head, head_spread in all_spreads.items() if head_spread is not None}

    def failures(self) -> list[HeadRun]:
        return [run for run in self.runs if run.failure is not None]

    def to_dict(self) -> dict[str, Any]:
        """The numbers of every run, and mean, standard deviation and n by test set, metric and head. Numbers that are
        not finite become None."""
        spreads = {
            dataset: {
                metric.name: {head: asdict(head_spread) for head, head_spread in self.spreads(dataset, metric).items()}
                for metric in self.metrics_of(dataset)
            }
            for pair in self.sets
            for dataset in (pair.clean, pair.degraded)
        }
        content: dict[str, Any] = plain(asdict(self) | {"spreads": spreads})
        return content


def best_head(spreads: Mapping[str, Spread], metric: Metric) -> str | None:
    """The head with the best mean (the first, if several are equal). None if there are fewer than two heads."""
    if len(spreads) < 2:
        return None
    sign = 1 if metric.higher_is_better else -1
    return max(spreads, key=lambda head: sign * spreads[head].mean)


def near_best(spreads: Mapping[str, Spread], metric: Metric) -> set[str]:
    """The other heads whose mean is within one pooled standard deviation, √((s² + s_best²)/2), of the best. The seeds
    do not show that these heads are worse. A head with one seed is never among them, because its deviation is not
    known."""
    best = best_head(spreads, metric)
    if best is None:
        return set()
    top = spreads[best]
    return {
        head
        for head, head_spread in spreads.items()
        if head != best and abs(head_spread.mean - top.mean) <= math.sqrt((head_spread.std**2 + top.std**2) / 2)
    }
