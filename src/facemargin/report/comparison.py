"""The tables of a report: systems against each other, and what discarding low quality does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from facemargin.evaluation import VerificationSummary
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.quality_comparison import QualityComparison
from facemargin.report.wording import far_text, measured_rate, percent

NOT_AVAILABLE = "–"
_FNMR = "{:.2%}".format


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval as text (empty without one), and whether no other row has a better one."""

    value: str
    interval: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Headings of the number columns, and for each system its name and cells."""

    headings: list[str]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class _Column:
    """One number a row, with its interval where there is one, and how to write it. `best_of` picks the best
    (max or min), None where none is."""

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
            low, high = map(self.write, interval)
            span = f"{low.removesuffix('%')}–{high}"
        return Cell(text, span, best=text == best)  # what is printed alike is equally good


def comparison_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row a system: accuracy over folds (where a system has folds), best balanced accuracy, EER, AUC, and TAR at
    each FAR, the largest FAR first. The best value of each column is marked where there are several systems, except at
    a FAR so low that not one impostor may be accepted: there it says nothing."""
    rate = _rate_of(summaries)
    columns = [
        _Column(
            "Best balanced accuracy",
            [(s.balanced_accuracy.value, s.balanced_accuracy.interval) for s in summaries],
            rate,
            max,
        ),
        _Column("EER", [(s.roc.eer, s.roc.eer_interval) for s in summaries], rate, min),
        _Column("AUC", [(s.roc.auc, s.roc.auc_interval) for s in summaries], "{:.4f}".format, max),
    ]
    if any(s.accuracy for s in summaries):
        accuracies = [(s.accuracy.mean, s.accuracy.interval) if s.accuracy else (np.nan, None) for s in summaries]
        columns.insert(0, _Column("Accuracy over folds", accuracies, rate, max))
    # `summarize` gives every system the same FARs in the same order
    for points in sorted(zip(*(s.tar_at_far.points for s in summaries), strict=True), key=lambda p: -p[0].target_far):
        heading = f"TAR at {far_text(points[0].target_far)}"
        best_of = max if all(allowed_count(p.target_far, p.impostors) for p in points) else None
        columns.append(_Column(heading, [(point.tar, point.interval) for point in points], rate, best_of))
    return _table([s.system for s in summaries], columns)


def discard_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row a system with qualities: FNMR with nothing discarded and after each limit, and the area under the curve
    up to the largest limit relative to discarding at random."""
    curves = {s.system: s.error_versus_discard for s in summaries if s.error_versus_discard is not None}
    rate = _rate_of(summaries)
    columns = [_Column("FNMR, nothing discarded", [(float(curve.fnmr_T[0]), None) for curve in curves.values()], rate)]
    for limits in zip(*(curve.limits for curve in curves.values()), strict=True):
        heading = f"{percent(limits[0].limit)} discarded"
        columns.append(_Column(heading, [(limit.fnmr, limit.fnmr_interval) for limit in limits], rate))
    last = [curve.limits[-1] for curve in curves.values()]
    columns.append(
        _Column(
            f"pAUC to {percent(last[0].limit)}, relative to random",
            [(limit.relative_to_start, limit.relative_to_start_interval) for limit in last],
            "{:.2f}".format,
        )
    )
    return _table(list(curves), columns)


def measures_table(comparison: QualityComparison, fmr: float) -> Table:
    """One row a measure of quality: FNMR with nothing discarded and after each limit, and the partial areas relative to
    discarding at random, the best of each marked unless the FMR is too low for one impostor to be accepted."""
    best_of = min if allowed_count(fmr, comparison.impostors) else None
    curves = comparison.curves[fmr]
    columns = [_Column("FNMR, nothing discarded", [(float(curve.fnmr_T[0]), None) for curve in curves.values()], _FNMR)]
    at_limits = list(zip(*(curve.limits for curve in curves.values()), strict=True))
    for limits in at_limits:
        columns.append(
            _Column(f"{percent(limits[0].limit)} discarded", [(one.fnmr, None) for one in limits], _FNMR, best_of)
        )
    for limits in at_limits:
        areas: list[tuple[float, tuple[float, float] | None]] = [(one.relative_to_start, None) for one in limits]
        columns.append(_Column(f"pAUC to {percent(limits[0].limit)}", areas, "{:.3f}".format, best_of))
    return _table(list(curves), columns)


def _rate_of(summaries: Sequence[VerificationSummary]) -> Callable[[float], str]:
    pairs = max(summary.genuine for summary in summaries)
    return lambda fraction: measured_rate(fraction, pairs)


def _table(systems: Sequence[str], columns: Sequence[_Column]) -> Table:
    rows = zip(systems, zip(*(column.cells() for column in columns), strict=True), strict=True)
    return Table([column.heading for column in columns], [(system, list(cells)) for system, cells in rows])
