"""Summaries of several systems as one table for the terminal."""

from collections.abc import Sequence

import numpy as np

from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.metrics.error_versus_discard import DiscardLimit
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint
from facemargin.evaluation.summary import EXACT_THRESHOLDS, VerificationSummary, without_interval
from facemargin.tables import Table

NOT_AVAILABLE = "–"


def summary_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One column a system, one row a figure: accuracy, best balanced accuracy, TAR at each FAR with the impostors it
    accepts, EER, AUC, and the FNMR at the start and after discarding up to each limit. Intervals stand below."""
    table = Table()
    ranges = "Ranges are bootstrap intervals by identity. " if any(map(_has_range, summaries)) else ""
    table.caption = f"{ranges}{without_interval(summaries)}".strip() or None
    table.add_column("")
    for summary in summaries:
        pairs = f"{summary.genuine:,} + {summary.impostors:,} pairs"
        table.add_column(f"{summary.system}\n{summary.dataset}\n{pairs}", justify="right")

    if any(summary.accuracy for summary in summaries):
        ways = dict.fromkeys(summary.accuracy_by for summary in summaries if summary.accuracy)
        way = "" if list(ways) == [EXACT_THRESHOLDS] else f"\n({', '.join(ways)})"
        table.add_row(f"accuracy ± std of folds{way}", *map(_accuracy, summaries))
    table.add_row(
        "best balanced accuracy",
        *(_figure(summary.balanced_accuracy.value, summary.balanced_accuracy.interval) for summary in summaries),
    )
    points = [{point.target_far: point for point in summary.tar_at_far.points} for summary in summaries]
    for far in sorted(set().union(*points)):
        table.add_row(f"TAR @ FAR {far:g} · impostors", *(_tar(of_system.get(far)) for of_system in points))
    table.add_row("EER", *(_figure(summary.roc.eer, summary.roc.eer_interval) for summary in summaries))
    table.add_row("AUC", *(_figure(summary.roc.auc, summary.roc.auc_interval) for summary in summaries))

    if any(summary.error_versus_discard for summary in summaries):
        table.add_row("FNMR, nothing discarded", *map(_starting_fnmr, summaries))
    limits = [{limit.limit: limit for limit in _discard_limits(summary)} for summary in summaries]
    for limit in sorted(set().union(*limits)):
        table.add_row(f"FNMR, {limit:.0%} discarded", *(_fnmr(of_system.get(limit)) for of_system in limits))
    return table


def _has_range(summary: VerificationSummary) -> bool:
    return any(
        interval is not None
        for interval in (summary.balanced_accuracy.interval, summary.roc.auc_interval, summary.roc.eer_interval)
    )


def _figure(value: float, interval: Interval | None = None, note: str = "") -> str:
    if np.isnan(value):
        return NOT_AVAILABLE
    below = f"\n{interval[0]:.3f}–{interval[1]:.3f}" if interval else ""
    return f"{value:.4f}{note}{below}"


def _accuracy(summary: VerificationSummary) -> str:
    accuracy = summary.accuracy
    return _figure(accuracy.mean, accuracy.interval, f" ± {accuracy.std:.4f}") if accuracy else NOT_AVAILABLE


def _tar(point: OperatingPoint | None) -> str:
    return _figure(point.tar, point.interval, f" · {point.impostors_accepted:,}") if point else NOT_AVAILABLE


def _starting_fnmr(summary: VerificationSummary) -> str:
    discard = summary.error_versus_discard
    return _figure(float(discard.fnmr_T[0])) if discard else NOT_AVAILABLE


def _discard_limits(summary: VerificationSummary) -> tuple[DiscardLimit, ...]:
    return summary.error_versus_discard.limits if summary.error_versus_discard else ()


def _fnmr(limit: DiscardLimit | None) -> str:
    return _figure(limit.fnmr, limit.fnmr_interval) if limit else NOT_AVAILABLE
