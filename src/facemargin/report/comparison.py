"""The tables of a report: systems compared with each other, and the effect of discarding low quality."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from facemargin.evaluation import VerificationSummary
from facemargin.evaluation.figures import Measured, Metric, Scope, largest_far_first, list_metrics
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.number_format import NOT_AVAILABLE, interval_text, rate_text, ratio_text
from facemargin.evaluation.quality_comparison import QualityComparison
from facemargin.report.blocks import Cell, Table
from facemargin.report.wording import percent


@dataclass(frozen=True)
class _Column:
    """One number per row, with its interval if there is one, and its format. `best_of` is max or min and picks the
    best; None marks no best."""

    heading: str
    values: list[tuple[float, tuple[float, float] | None]]
    write: Callable[[float], str]
    best_of: Callable[[Sequence[float]], float] | None = None

    def cells(self) -> list[Cell]:
        known = [value for value, _ in self.values if np.isfinite(value)]
        best = None
        if self.best_of is not None and len(self.values) > 1 and known:
            best = self.write(self.best_of(known))
        return [self._cell(value, interval, best) for value, interval in self.values]

    def _cell(self, value: float, interval: tuple[float, float] | None, best: str | None) -> Cell:
        if not np.isfinite(value):
            return Cell(NOT_AVAILABLE)
        text, span = self.write(value), ""
        if interval is not None and np.isfinite(interval).all():
            span = interval_text(interval, self.write)
        # values that are printed the same are equally good
        return Cell(text, span, text == best, value, interval if span else None)


def comparison_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row per system. The columns are accuracy over folds (if a system has folds), best balanced accuracy, EER,
    AUC, the registered metrics, and TAR at each FAR, starting with the largest FAR. If there are several systems, the
    best value of each column is marked, except at a FAR that is too low to accept one impostor pair."""
    return _metrics_table(summaries, [metric for metric in _metrics(summaries) if not metric.by_quality])


def discard_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row per system with qualities: FNMR with nothing discarded and after each limit, and the area under the curve
    up to the largest limit, relative to discarding at random."""
    with_quality = [summary for summary in summaries if summary.error_versus_discard is not None]
    return _metrics_table(with_quality, [metric for metric in _metrics(with_quality) if metric.by_quality])


def _metrics(summaries: Sequence[VerificationSummary]) -> list[Metric]:
    """The metrics that have a column in reports and a value for at least one of the systems."""
    metrics = [metric for metric in largest_far_first(list_metrics(Scope.of(summaries))) if metric.column]
    return [metric for metric in metrics if any(metric.of(summary) is not None for summary in summaries)]


def _metrics_table(summaries: Sequence[VerificationSummary], metrics: Sequence[Metric]) -> Table:
    pairs = max(summary.genuine for summary in summaries)
    columns = []
    for metric in metrics:
        measured = [metric.of(summary) or Measured(np.nan) for summary in summaries]
        columns.append(
            _Column(
                metric.column,
                [(number.value, number.interval) for number in measured],
                partial(metric.text, pairs=pairs),
                _best_of(metric, summaries),
            )
        )
    return _table([summary.system for summary in summaries], columns)


def _best_of(metric: Metric, summaries: Sequence[VerificationSummary]) -> Callable[[Sequence[float]], float] | None:
    """`max` or `min`, which picks the best value of the metric's column. None if no value is to be marked: for metrics
    of the quality measure, and at a FAR that is too low to accept one impostor pair."""
    if metric.by_quality or not all(metric.is_told_by(summary.impostors) for summary in summaries):
        return None
    return max if metric.higher_is_better else min


def measures_table(comparison: QualityComparison, fmr: float) -> Table:
    """One row per measure of quality: FNMR with nothing discarded and after each limit, and the partial areas relative
    to discarding at random. The best of each column is marked, unless the FMR is too low to accept one impostor."""
    best_of = min if allowed_count(fmr, comparison.impostors) else None
    curves = comparison.curves[fmr]
    columns = [
        _Column("FNMR, nothing discarded", [(float(curve.fnmr_T[0]), None) for curve in curves.values()], rate_text)
    ]
    at_limits = list(zip(*(curve.limits for curve in curves.values()), strict=True))
    for limits in at_limits:
        columns.append(
            _Column(
                f"{percent(limits[0].limit)} discarded", [(limit.fnmr, None) for limit in limits], rate_text, best_of
            )
        )
    for limits in at_limits:
        areas: list[tuple[float, tuple[float, float] | None]] = [(limit.relative_to_start, None) for limit in limits]
        columns.append(_Column(f"pAUC to {percent(limits[0].limit)}", areas, ratio_text, best_of))
    return _table(list(curves), columns)


def _table(systems: Sequence[str], columns: Sequence[_Column]) -> Table:
    rows = zip(systems, zip(*(column.cells() for column in columns), strict=True), strict=True)
    return Table([column.heading for column in columns], [(system, list(cells)) for system, cells in rows])
