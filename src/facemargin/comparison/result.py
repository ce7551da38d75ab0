"""Heads trained alike with several seeds each, and whether their figures differ by more than the seeds do."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.plain import plain
from facemargin.evaluation.summary import DEFAULT_FARS, VerificationSummary


@dataclass(frozen=True)
class Metric:
    """One number that heads are compared by: a rate of pairs (at a FAR, for a TAR), shown in percent, or an area."""

    name: str
    heading: str
    higher_is_better: bool = True
    is_rate: bool = True
    far: float | None = None

    def is_told_by(self, impostors: int) -> bool:
        """Whether so many impostor pairs can say anything of it: at least one may be accepted at its FAR."""
        return self.far is None or allowed_count(self.far, impostors) > 0


_ACCURACY = Metric("accuracy", "Accuracy")
_BALANCED_ACCURACY = Metric("balanced_accuracy", "Balanced accuracy")
_TARS = [
    (far, Metric(f"tar_at_far_{far:g}", f"TAR at FAR {100 * far:g}%", far=far)) for far in sorted(DEFAULT_FARS)[::-1]
]
_PAUC = Metric("pauc", "pAUC", higher_is_better=False, is_rate=False)
_RELATIVE_PAUC = Metric("relative_pauc", "pAUC / random", higher_is_better=False, is_rate=False)

METRICS = (_ACCURACY, _BALANCED_ACCURACY, *(metric for _, metric in _TARS), _PAUC, _RELATIVE_PAUC)
"""In the order of tables and figures."""


def metric_values(summary: VerificationSummary) -> dict[str, float]:
    """The summary's numbers by the names in METRICS: k-fold accuracy where it has folds, best balanced accuracy where
    it has none; the areas, of error versus discard up to its largest limit, where it has qualities."""
    values = {}
    if summary.accuracy is not None:
        values[_ACCURACY.name] = summary.accuracy.mean
    else:
        values[_BALANCED_ACCURACY.name] = summary.balanced_accuracy.value
    tar_at = {point.target_far: point.tar for point in summary.tar_at_far.points}
    values |= {metric.name: tar_at[far] for far, metric in _TARS}
    if summary.error_versus_discard is not None:
        limit = summary.error_versus_discard.limits[-1]
        values |= {_PAUC.name: limit.pauc, _RELATIVE_PAUC.name: limit.relative_to_start}
    return values


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (divided by n − 1; NaN for one) of one metric over `n` seeds."""

    mean: float
    std: float
    n: int


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of those values that are finite; None where none is."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    mean = math.fsum(finite) / len(finite)
    squares = math.fsum((value - mean) ** 2 for value in finite)
    return Spread(mean, math.sqrt(squares / (len(finite) - 1)) if len(finite) > 1 else math.nan, len(finite))


@dataclass(frozen=True)
class HeadRun:
    """One head trained with one seed: `metrics` by test set and name, or why it failed.

    `settings` are the head's, `machine` what trained it, both in words. `training_seconds` is None for a run that was
    interrupted: what it took before is not known.
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
    """A test set, its degraded twin, and the pairs in either."""

    clean: str
    degraded: str
    genuine: int
    impostors: int


@dataclass(frozen=True)
class HeadComparison:
    """Every run of every head, in the order that `heads` are shown."""

    heads: Sequence[str]
    seeds: Sequence[int]
    sets: Sequence[ComparedSet]
    runs: Sequence[HeadRun]

    def metrics_of(self, dataset: str) -> list[Metric]:
        """The metrics that runs have on a data set."""
        known = {name for run in self.runs for name in run.metrics.get(dataset, {})}
        return [metric for metric in METRICS if metric.name in known]

    def values(self, dataset: str, metric: Metric, head: str) -> list[float]:
        """The numbers of the head's runs that have one."""
        of_head = [run.metrics[dataset] for run in self.runs if run.head == head and dataset in run.metrics]
        return [values[metric.name] for values in of_head if metric.name in values]

    def spreads(self, dataset: str, metric: Metric) -> dict[str, Spread]:
        """The spread over seeds of each head that has numbers."""
        found = {head: spread(self.values(dataset, metric, head)) for head in self.heads}
        return {head: one for head, one in found.items() if one is not None}

    def failures(self) -> list[HeadRun]:
        return [run for run in self.runs if run.failure is not None]

    def to_dict(self) -> dict[str, Any]:
        """Every run's numbers, and mean, standard deviation and n by test set, metric and head; None for what is not
        finite."""
        spreads = {
            dataset: {
                metric.name: {head: asdict(one) for head, one in self.spreads(dataset, metric).items()}
                for metric in self.metrics_of(dataset)
            }
            for one in self.sets
            for dataset in (one.clean, one.degraded)
        }
        content: dict[str, Any] = plain(asdict(self) | {"spreads": spreads})
        return content


def best_head(spreads: Mapping[str, Spread], metric: Metric) -> str | None:
    """The head with the best mean, the first of equals; None where there are not two to choose from."""
    if len(spreads) < 2:
        return None
    sign = 1 if metric.higher_is_better else -1
    return max(spreads, key=lambda head: sign * spreads[head].mean)


def near_best(spreads: Mapping[str, Spread], metric: Metric) -> set[str]:
    """The other heads whose mean is within one pooled standard deviation, √((s² + s_best²)/2), of the best: the seeds
    give no reason to think them worse. None is, as far as can be known, where either has one seed."""
    best = best_head(spreads, metric)
    if best is None:
        return set()
    top = spreads[best]
    return {
        head
        for head, one in spreads.items()
        if head != best and abs(one.mean - top.mean) <= math.sqrt((one.std**2 + top.std**2) / 2)
    }
