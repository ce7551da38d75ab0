"""The tables of a comparison of heads, for the terminal and as Markdown. They hold numbers only, no faces."""

import math
from collections.abc import Sequence

from rich.markup import escape

from facemargin.comparison.head_differences import HeadDifference
from facemargin.comparison.result import HeadComparison, best_head, near_best, spread
from facemargin.evaluation.figures import DEFAULT_FARS, Metric
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.number_format import NOT_AVAILABLE, p_text, points_text
from facemargin.report.blocks import Cell, Table
from facemargin.tables import Table as TerminalTable

NEAR_BEST = "≈"

_SIGNIFICANT = 0.05

# If a TAR rests on fewer accepted impostor pairs than this, one pair more or less changes it a lot.
_FEW_IMPOSTORS = 10
_LOWEST_FAR = min(DEFAULT_FARS)


def metric_table(comparison: HeadComparison, dataset: str, genuine: int) -> Table:
    """One row per head: the number of its seeds, and the mean ± standard deviation of every metric. Rates are in
    percent, with as many digits as the number of `genuine` pairs justifies. The best mean is marked. NEAR_BEST marks
    the means that the seeds cannot distinguish from the best."""
    metrics = comparison.metrics_of(dataset)
    columns = [_column(comparison, dataset, metric, genuine) for metric in metrics]
    rows = zip(comparison.heads, *columns, strict=True)
    return Table(
        ["Seeds", *(metric.heading for metric in metrics)],
        [(head, [_seeds(comparison, head), *cells]) for head, *cells in rows],
    )


def difference_table(comparison: HeadComparison, dataset: str) -> Table | None:
    """One row per head but the first: the difference of its mean TAR to that of the first, with interval and Holm's p,
    in bold where p is below .05. None if there are no differences."""
    found = comparison.differences.get(dataset)
    if found is None or not found.rows:
        return None
    fars = sorted({row.point.target_far for row in found.rows}, reverse=True)
    rows = []
    for head in dict.fromkeys(row.head for row in found.rows):
        by_far = {row.point.target_far: row for row in found.rows if row.head == head}
        rows.append((head, [_difference(by_far[far]) for far in fars]))
    return Table([f"Points of TAR at FAR {100 * far:g}%" for far in fars], rows)


def difference_title(comparison: HeadComparison, dataset: str) -> str:
    return f"{dataset}: difference to {comparison.differences[dataset].first}, 95% for other people and other seeds"


def budget_table(comparison: HeadComparison) -> Table:
    """One row per head: its settings, the number of images in one run, and the mean duration of its runs in seconds."""
    headings = ["Images seen", "Training, s", "Evaluation, s", "Settings"]
    rows = []
    for head in comparison.heads:
        runs = [run for run in comparison.runs if run.head == head]
        images = sorted({run.images_seen for run in runs})
        seconds = (_mean([run.training_seconds for run in runs]), _mean([run.evaluation_seconds for run in runs]))
        texts = ["–".join(f"{n:,}" for n in dict.fromkeys([images[0], images[-1]])), *seconds, runs[0].settings]
        rows.append((head, [Cell(text) for text in texts]))
    return Table(headings, rows)


def legend(comparison: HeadComparison) -> str:
    """Explains how to read the tables and what they do not show."""
    metrics = (
        "Rates are in percent. pAUC is the area under error versus discard (FNMR at the threshold of FMR 1%, up "
        "to 30% discarded) by the model's own quality, also over that of discarding at random: lower is better, "
        "and 1 means that discarding by quality does not help. The best mean is in bold.  "
    )
    seeds = len(comparison.seeds)
    if seeds == 1:
        return (
            f"{metrics}There is one seed, so it is not known how much the figures, and any difference between them, "
            "depend on the seed."
        )
    told = any(found.rows for found in comparison.differences.values())
    differences = (
        " The differences to the first head do, and other seeds: in bold where p is below 0.05, which allows for the "
        "number of comparisons on the same test set (Holm)."
    )
    return (
        f"{metrics}± is the standard deviation over {seeds} seeds. {NEAR_BEST}: within one pooled standard "
        "deviation of the best, so these seeds do not show a difference. Other people in the test set would "
        f"change all figures; ± does not measure this.{differences if told else ''}"
    )


def notes(comparison: HeadComparison) -> list[str]:
    """Notes for the reader of the figures: failed runs, and operating points that rest on a few pairs."""
    notes = [f"{run.head}, seed {run.seed} failed: {run.failure}" for run in comparison.failures()]
    for test_set in comparison.sets:
        accepted = allowed_count(_LOWEST_FAR, test_set.impostors)
        if not accepted:
            notes.append(
                f"{test_set.clean}: FAR {100 * _LOWEST_FAR:g}% of {test_set.impostors:,} impostor pairs is less "
                "than one pair, so this TAR rests on no accepted impostor, and no head is marked as the best."
            )
        elif accepted < _FEW_IMPOSTORS:
            notes.append(
                f"{test_set.clean}: at FAR {100 * _LOWEST_FAR:g}%, {accepted} of {test_set.impostors:,} impostor "
                "pairs are accepted, so single pairs decide the TAR."
            )
        for dataset in (test_set.clean, test_set.degraded):
            found = comparison.differences.get(dataset)
            notes += [] if found is None else [f"{dataset}: {note}" for note in found.notes]
    return notes


def comparison_markdown(comparison: HeadComparison, title: str, command: str) -> str:
    """The whole comparison as one Markdown page: `title`, the `command` and the machine of the runs, a table for every
    test set and its degraded twin, and the budget."""
    machines = dict.fromkeys(run.machine for run in comparison.runs if run.machine)
    parts = [f"# {title}", f"    {command}", *machines, legend(comparison)]
    for test_set in comparison.sets:
        for dataset in (test_set.clean, test_set.degraded):
            parts += [f"## {dataset}", f"{test_set.genuine:,} genuine and {test_set.impostors:,} impostor pairs."]
            parts.append(_markdown(metric_table(comparison, dataset, test_set.genuine)))
            differences = difference_table(comparison, dataset)
            if differences is not None:
                parts += [f"{difference_title(comparison, dataset)}:", _markdown(differences)]
    parts += ["## Budget", _markdown(budget_table(comparison))]
    said = notes(comparison)
    if said:
        parts += ["## Notes", "\n".join(f"- {note}" for note in said)]
    return "\n\n".join(parts) + "\n"


def terminal_table(table: Table, title: str) -> TerminalTable:
    """`table` for a terminal."""
    drawn = TerminalTable(title=escape(title))
    drawn.add_column("Head")
    for heading in table.headings:
        drawn.add_column(heading, justify="right")
    for head, cells in table.rows:
        drawn.add_row(escape(head), *map(_terminal_cell, cells))
    return drawn


def _terminal_cell(cell: Cell) -> str:
    return f"{_bold(cell, '[bold]', '[/]')}\n{cell.interval}".rstrip()


def _bold(cell: Cell, start: str, end: str) -> str:
    return f"{start}{cell.value}{end}" if cell.best else cell.value


def _difference(row: HeadDifference) -> Cell:
    point = row.point
    spread = "" if point.interval is None else "({} to {}), ".format(*map(points_text, point.interval))
    return Cell(
        points_text(point.difference), f"{spread}p {p_text(row.adjusted_p)}", best=row.adjusted_p < _SIGNIFICANT
    )


def _column(comparison: HeadComparison, dataset: str, metric: Metric, genuine: int) -> list[Cell]:
    spreads = comparison.spreads(dataset, metric)
    best, near = best_head(spreads, metric), near_best(spreads, metric)
    if not metric.is_told_by(_impostors(comparison, dataset)):
        best, near = None, set()
    best_text = None if best is None else _number(spreads[best].mean, metric, genuine)
    cells = []
    for head in comparison.heads:
        head_spread = spreads.get(head)
        if head_spread is None:
            cells.append(Cell(NOT_AVAILABLE))
            continue
        mark = f" {NEAR_BEST}" if head in near else ""
        text = _number(head_spread.mean, metric, genuine)
        std = "" if math.isnan(head_spread.std) else f"± {_number(head_spread.std, metric, genuine)}{mark}"
        cells.append(Cell(text, std, best=text == best_text))  # values that are printed the same are equally good
    return cells


def _impostors(comparison: HeadComparison, dataset: str) -> int:
    return next(test_set.impostors for test_set in comparison.sets if dataset in (test_set.clean, test_set.degraded))


def _number(value: float, metric: Metric, genuine: int) -> str:
    return metric.text(value, genuine).removesuffix("%")


def _seeds(comparison: HeadComparison, head: str) -> Cell:
    expected = len(comparison.seeds)
    finished = len([run for run in comparison.runs if run.head == head and run.failure is None])
    return Cell(f"{finished}" if finished == expected else f"{finished} of {expected}")


def _mean(seconds: Sequence[float | None]) -> str:
    known = spread([value for value in seconds if value is not None])
    return NOT_AVAILABLE if known is None else f"{known.mean:,.0f}"


def _markdown(table: Table) -> str:
    lines = [["Head", *table.headings], ["---", *("---:" for _ in table.headings)]]
    for head, cells in table.rows:
        lines.append([f"`{head}`", *(f"{_bold(cell, '**', '**')} {cell.interval}".rstrip() for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
