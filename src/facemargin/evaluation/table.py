"""The summaries of several systems as one table for the terminal."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from facemargin.evaluation.figures import Measured, Scope, list_metrics
from facemargin.evaluation.number_format import NOT_AVAILABLE, interval_text
from facemargin.evaluation.summary import VerificationSummary, without_interval
from facemargin.tables import Table


def summary_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One column per system, and one row per metric that at least one of them has: accuracy, best balanced accuracy,
    TAR at each FAR with the number of accepted impostor pairs, EER, AUC, registered metrics, and the FNMR with nothing
    discarded and after discarding up to each limit. An interval is printed below its value.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> scores = fm.evaluation.evaluate_verification(embed, pairs, "pixels")
        >>> table = fm.evaluation.summary_table([fm.evaluation.summarize(scores, bootstrap=None)])
        >>> table.columns[1].header.split("\\n")
        ['pixels', 'orl:1-4', '180 + 600 pairs']
    """
    metrics = [metric for metric in list_metrics(Scope.of(summaries)) if metric.row]
    rows = {metric: [metric.of(summary) for summary in summaries] for metric in metrics}
    genuine = max(summary.genuine for summary in summaries)
    table = Table()
    has_ranges = any(number is not None and number.interval for measured in rows.values() for number in measured)
    ranges = "Ranges are bootstrap intervals by identity. " if has_ranges else ""
    table.caption = f"{ranges}{without_interval(summaries)}".strip() or None
    table.add_column("")
    for summary in summaries:
        pairs = f"{summary.genuine:,} + {summary.impostors:,} pairs"
        table.add_column(f"{summary.system}\n{summary.dataset}\n{pairs}", justify="right")
    for metric, measured in rows.items():
        if any(number is not None for number in measured):
            table.add_row(metric.row, *(_cell(number, partial(metric.text, pairs=genuine)) for number in measured))
    return table


def _cell(measured: Measured | None, write: Callable[[float], str]) -> str:
    if measured is None or np.isnan(measured.value):
        return NOT_AVAILABLE
    below = f"\n{interval_text(measured.interval, write)}" if measured.interval else ""
    return f"{write(measured.value)}{measured.note}{below}"
