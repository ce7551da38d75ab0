"""The metrics that tables show. Each is declared once, and the declaration is used by the table in the terminal, the
report, comparisons of heads, and `facemargin list metrics`.

To add a metric, decorate a function of a system's scores with `register_metric`, in a module of `evaluation/metrics` or
of a plugin. The metrics that `summarize` always computes are declared at the end of this file.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from facemargin.evaluation.metrics.bootstrap import Bootstrap, Interval
from facemargin.evaluation.metrics.error_versus_discard import DiscardLimit
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.number_format import AREA_DECIMALS, RATIO_DECIMALS, measured_rate
from facemargin.evaluation.scores import PairScores
from facemargin.registry import Registry

if TYPE_CHECKING:
    from facemargin.evaluation.summary import VerificationSummary

DEFAULT_FARS = (1e-3, 1e-2, 1e-1)
DEFAULT_LIMITS = (0.1, 0.2, 0.3)
EXACT_THRESHOLDS = "exact thresholds"


@dataclass(frozen=True)
class Measured:
    """A value, its bootstrap interval if there is one, and a note that the terminal's table prints after the value.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.Measured(0.75, interval=(0.6, 0.9))
        Measured(value=0.75, interval=(0.6, 0.9), note='')
    """

    value: float
    interval: Interval | None = None
    note: str = ""


def _nothing(summary: "VerificationSummary") -> Measured | None:
    return None


@dataclass(frozen=True)
class Metric:
    """A number that describes a system on a set of pairs.

    Attributes:
        name: Its key in files.
        heading: Its name in comparisons of heads. It is not shown there if this is empty.
        row: Its name in the table of the terminal, likewise.
        column: Its name in the tables of a report, likewise.
        is_rate: Whether reports and comparisons show it in percent. Reports show other numbers with `decimals`.
        far: The FAR at which it is measured, if it is a TAR.
        by_quality: Whether it describes the measure of quality instead of the system.
        has_range: Whether it has an interval if the people are known and the resamples differ.
        json_keys: The keys in the JSON of a summary that lead to it; empty if it is in a list there.
        of: Returns the number from a summary, or None if the summary does not have it.
    """

    name: str
    heading: str = ""
    higher_is_better: bool = True
    is_rate: bool = True
    far: float | None = None
    row: str = ""
    column: str = ""
    decimals: int = AREA_DECIMALS
    by_quality: bool = False
    has_range: bool = True
    json_keys: tuple[str, ...] = ()
    of: "Callable[[VerificationSummary], Measured | None]" = field(default=_nothing, compare=False)

    def text(self, value: float, pairs: int) -> str:
        """`value` as tables show it; rates of a system with so many genuine `pairs`."""
        return measured_rate(value, pairs) if self.is_rate else f"{value:.{self.decimals}f}"

    def is_told_by(self, impostors: int) -> bool:
        """Whether there are enough impostor pairs to measure it: at its FAR, at least one may be accepted."""
        return self.far is None or allowed_count(self.far, impostors) > 0


@dataclass(frozen=True)
class Scope:
    """The conditions that determine which metrics exist: the FARs, the discarded fractions, and how the thresholds of
    the accuracy were chosen."""

    fars: Sequence[float] = DEFAULT_FARS
    limits: Sequence[float] = DEFAULT_LIMITS
    accuracy_by: Sequence[str] = (EXACT_THRESHOLDS,)

    @classmethod
    def of(cls, summaries: "Sequence[VerificationSummary]") -> "Scope":
        fars = {point.target_far for summary in summaries for point in summary.tar_at_far.points}
        limits = {limit.limit for summary in summaries for limit in _limits(summary)}
        ways = dict.fromkeys(summary.accuracy_by for summary in summaries if summary.accuracy)
        return cls(sorted(fars), sorted(limits), tuple(ways))


MakeMetrics = Callable[[Scope], Iterable[Metric]]
Compute = Callable[[PairScores, Bootstrap | None], Measured | None]


@dataclass(frozen=True)
class Declaration:
    """`metrics` returns the metrics for tables. `compute` is the function that `summarize` calls for a metric from
    `register_metric`; None for the metrics that it always computes."""

    metrics: MakeMetrics
    compute: Compute | None = None


METRICS: Registry[Declaration] = Registry("metric", "facemargin.evaluation.metrics")


def register_metric(
    name: str, heading: str, description: str, higher_is_better: bool = True, is_rate: bool = True, decimals: int = 4
) -> Callable[[Compute], Compute]:
    """Decorator that makes a function of a system's scores a metric: a row of the table in the terminal and a column of
    reports and comparisons, both called `heading`, and a key `name` in the JSON.

    The function gets the scores and the bootstrap of `summarize`. It returns None if the scores do not allow the metric
    (for example, if it needs folds or qualities and there are none). `facemargin list metrics` shows the `description`.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> @fm.evaluation.register_metric("median_genuine", "median of genuine scores", "half lie above")
        ... def median_genuine(pairs, bootstrap):
        ...     return fm.evaluation.Measured(float(np.median(pairs.scores_K[pairs.same_K])))
        ...
        >>> scores = fm.evaluation.PairScores("mine", "toy", np.array([0.9, 0.2]), np.array([True, False]))
        >>> fm.evaluation.summarize(scores, bootstrap=None).others["median_genuine"].value
        0.9
    """

    def decorate(compute: Compute) -> Compute:
        metric = Metric(
            name,
            heading,
            higher_is_better=higher_is_better,
            is_rate=is_rate,
            row=heading,
            column=heading,
            decimals=decimals,
            has_range=False,
            json_keys=(name, "value"),
            of=lambda summary: summary.others.get(name),
        )
        METRICS.register(name, description=description)(Declaration(lambda scope: [metric], compute))
        return compute

    return decorate


def compute_others(pair_scores: PairScores, bootstrap: Bootstrap | None) -> dict[str, Measured]:
    """The values of the metrics from `register_metric`, by name."""
    functions = {name: METRICS[name].compute for name in METRICS}
    numbers = {name: compute(pair_scores, bootstrap) for name, compute in functions.items() if compute is not None}
    return {name: measured for name, measured in numbers.items() if measured is not None}


def list_metrics(scope: Scope) -> list[Metric]:
    """Every metric. Those that describe the measure of quality come last."""
    metrics = [metric for declaration in METRICS.values() for metric in declaration.metrics(scope)]
    return sorted(metrics, key=lambda metric: metric.by_quality)


def largest_far_first(metrics: Sequence[Metric]) -> list[Metric]:
    """The order of reports and comparisons: first the metrics without a FAR, then the others, the largest FAR first."""
    return sorted(metrics, key=lambda metric: (metric.by_quality, 0.0 if metric.far is None else 1 / metric.far))


def _declare(name: str, description: str) -> Callable[[MakeMetrics], MakeMetrics]:
    def decorate(make: MakeMetrics) -> MakeMetrics:
        METRICS.register(name, description=description)(Declaration(make))
        return make

    return decorate


@_declare("accuracy", "share of pairs decided correctly, with the best threshold of the other folds; mean of the folds")
def _accuracy(scope: Scope) -> Iterator[Metric]:
    def of(summary: "VerificationSummary") -> Measured | None:
        accuracy = summary.accuracy
        return (
            None
            if accuracy is None
            else Measured(accuracy.mean, accuracy.interval, f" ± {measured_rate(accuracy.std, summary.genuine)}")
        )

    way = "" if list(scope.accuracy_by) == [EXACT_THRESHOLDS] else f"\n({', '.join(scope.accuracy_by)})"
    yield Metric(
        "accuracy",
        "Accuracy",
        row=f"accuracy ± std of folds{way}",
        column="Accuracy over folds",
        json_keys=("accuracy", "mean"),
        of=of,
    )


@_declare("balanced_accuracy", "mean of the shares of genuine and impostor pairs decided correctly; best threshold")
def _balanced_accuracy(scope: Scope) -> Iterator[Metric]:
    yield Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        row="best balanced accuracy",
        column="Best balanced accuracy",
        json_keys=("balanced_accuracy", "value"),
        of=lambda summary: Measured(summary.balanced_accuracy.value, summary.balanced_accuracy.interval),
    )


@_declare("tar_at_far", "share of genuine pairs accepted, if 0.1, 1 or 10% of the impostor pairs are accepted")
def _tar_at_far(scope: Scope) -> Iterator[Metric]:
    for far in scope.fars:

        def of(summary: "VerificationSummary", far: float = far) -> Measured | None:
            point = next((point for point in summary.tar_at_far.points if point.target_far == far), None)
            return None if point is None else Measured(point.tar, point.interval, f" · {point.impostors_accepted:,}")

        yield Metric(
            f"tar_at_far_{far:g}",
            f"TAR at FAR {100 * far:g}%",
            far=far,
            row=f"TAR @ FAR {far:g} · impostors",
            column=f"TAR at FAR\N{NO-BREAK SPACE}{100 * far:.6g}%",
            of=of,
        )


@_declare("eer", "equal error rate: the FNMR at the threshold at which FNMR and FMR are equal")
def _eer(scope: Scope) -> Iterator[Metric]:
    yield Metric(
        "eer",
        higher_is_better=False,
        row="EER",
        column="EER",
        json_keys=("roc", "eer"),
        of=lambda summary: Measured(summary.roc.eer, summary.roc.eer_interval),
    )


@_declare("auc", "area under the ROC curve")
def _auc(scope: Scope) -> Iterator[Metric]:
    yield Metric(
        "auc",
        is_rate=False,
        row="AUC",
        column="AUC",
        json_keys=("roc", "auc"),
        of=lambda summary: Measured(summary.roc.auc, summary.roc.auc_interval),
    )


@_declare("fnmr_discarded", "error versus discard: share of genuine pairs rejected, without those of lowest quality")
def _fnmr(scope: Scope) -> Iterator[Metric]:
    def start(summary: "VerificationSummary") -> Measured | None:
        curve = summary.error_versus_discard
        return None if curve is None else Measured(float(curve.fnmr_T[0]))

    yield Metric(
        "fnmr",
        higher_is_better=False,
        row="FNMR, nothing discarded",
        column="FNMR, nothing discarded",
        by_quality=True,
        has_range=False,
        of=start,
    )
    for limit in scope.limits:

        def of(summary: "VerificationSummary", limit: float = limit) -> Measured | None:
            point = next((point for point in _limits(summary) if point.limit == limit), None)
            return None if point is None else Measured(point.fnmr, point.fnmr_interval)

        yield Metric(
            f"fnmr_{limit:g}_discarded",
            higher_is_better=False,
            row=f"FNMR, {limit:.0%} discarded",
            column=f"{100 * limit:.6g}% discarded",
            by_quality=True,
            of=of,
        )


@_declare("pauc", "area under error versus discard up to the largest limit, also relative to discarding at random")
def _pauc(scope: Scope) -> Iterator[Metric]:
    def last(summary: "VerificationSummary") -> DiscardLimit | None:
        return max(_limits(summary), key=lambda point: point.limit, default=None)

    def area(summary: "VerificationSummary") -> Measured | None:
        limit = last(summary)
        return None if limit is None else Measured(limit.pauc)

    def relative(summary: "VerificationSummary") -> Measured | None:
        limit = last(summary)
        return None if limit is None else Measured(limit.relative_to_start, limit.relative_to_start_interval)

    largest = f"pAUC to {100 * max(scope.limits):.6g}%, relative to random" if scope.limits else ""
    for name, heading, column, of in (
        ("pauc", "pAUC", "", area),
        ("relative_pauc", "pAUC / random", largest, relative),
    ):
        yield Metric(
            name,
            heading,
            higher_is_better=False,
            is_rate=False,
            column=column,
            decimals=RATIO_DECIMALS,
            by_quality=True,
            of=of,
        )


def _limits(summary: "VerificationSummary") -> tuple[DiscardLimit, ...]:
    return summary.error_versus_discard.limits if summary.error_versus_discard else ()
