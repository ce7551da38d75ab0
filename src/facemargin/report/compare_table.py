"""The tables of a comparison of heads, for the terminal and as Markdown. They hold numbers only, no faces."""

import math
from collections.abc import Sequence

from rich.markup import escape

from facemargin.comparison.result import HeadComparison, best_head, near_best, spread
from facemargin.evaluation.figures import DEFAULT_FARS, Metric
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.report.comparison import NOT_AVAILABLE, Cell, Table
from facemargin.tables import Table as TerminalTable

NEAR_BEST = "≈"

# With fewer accepted impostors than this behind a TAR, one pair more or less moves it a lot.
_FEW_IMPOSTORS = 10
_LOWEST_FAR = min(DEFAULT_FARS)


def metric_table(comparison: HeadComparison, dataset: str, genuine: int) -> Table:
    """One row a head: how many of its seeds there are, and the mean ± standard deviation of every metric, rates in
    percent with the digits that so many `genuine` pairs carry. The best mean is marked; NEAR_BEST follows those that
    the seeds do not tell from it."""
    metrics = comparison.metrics_of(dataset)
    columns = [_column(comparison, dataset, metric, genuine) for metric in metrics]
    rows = zip(comparison.heads, *columns, strict=True)
    return Table(
        ["Seeds", *(metric.heading for metric in metrics)],
        [(head, [_seeds(comparison, head), *cells]) for head, *cells in rows],
    )


def budget_table(comparison: HeadComparison) -> Table:
    """One row a head: its settings, the images that a run of it saw, and the mean seconds that a run took."""
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
    """How to read the tables, and what they do not say."""
    metrics = (
        "Rates are in percent. pAUC is the area under error versus discard (FNMR at the threshold of FMR 1%, up to 30% "
        "discarded) by the model's own quality, also over that of discarding at random: lower is better, and 1 is no "
        "help. In bold the best mean. "
    )
    seeds = len(comparison.seeds)
    if seeds == 1:
        return f"{metrics}One seed: how far another one would move the figures, and so any difference, is not known."
    return (
        f"{metrics}± is the standard deviation over {seeds} seeds. {NEAR_BEST}: within one pooled standard deviation "
        "of the best, so these seeds do not tell the two apart. Other test people would move all figures; ± does not "
        "say how far."
    )


def notes(comparison: HeadComparison) -> list[str]:
    """What a reader should know beside the figures: failed runs, and operating points that rest on a few pairs."""
    found = [f"{run.head}, seed {run.seed} failed: {run.failure}" for run in comparison.failures()]
    for one in comparison.sets:
        accepted = allowed_count(_LOWEST_FAR, one.impostors)
        if not accepted:
            found.append(
                f"{one.clean}: FAR {100 * _LOWEST_FAR:g}% of {one.impostors:,} impostor pairs is less than one, so the "
                "TAR there stands on no accepted impostor, and no head is marked as the best."
            )
        elif accepted < _FEW_IMPOSTORS:
            found.append(
                f"{one.clean}: FAR {100 * _LOWEST_FAR:g}% lets {accepted} of {one.impostors:,} impostor pairs pass, so "
                "single pairs decide the TAR there."
            )
    return found


def comparison_markdown(comparison: HeadComparison, title: str, command: str) -> str:
    """The whole comparison as one Markdown page: `title`, the `command` and the machine it was made with, a table for
    every test set and its degraded twin, and the budget."""
    machines = dict.fromkeys(run.machine for run in comparison.runs if run.machine)
    parts = [f"# {title}", f"    {command}", *machines, legend(comparison)]
    for one in comparison.sets:
        for dataset in (one.clean, one.degraded):
            parts += [f"## {dataset}", f"{one.genuine:,} genuine and {one.impostors:,} impostor pairs."]
            parts.append(_markdown(metric_table(comparison, dataset, one.genuine)))
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


def _column(comparison: HeadComparison, dataset: str, metric: Metric, genuine: int) -> list[Cell]:
    spreads = comparison.spreads(dataset, metric)
    best, near = best_head(spreads, metric), near_best(spreads, metric)
    if not metric.is_told_by(_impostors(comparison, dataset)):
        best, near = None, set()
    best_text = None if best is None else _number(spreads[best].mean, metric, genuine)
    cells = []
    for head in comparison.heads:
        one = spreads.get(head)
        if one is None:
            cells.append(Cell(NOT_AVAILABLE))
            continue
        mark = f" {NEAR_BEST}" if head in near else ""
        text = _number(one.mean, metric, genuine)
        std = "" if math.isnan(one.std) else f"± {_number(one.std, metric, genuine)}{mark}"
        cells.append(Cell(text, std, best=text == best_text))  # what is printed alike is equally good
    return cells


def _impostors(comparison: HeadComparison, dataset: str) -> int:
    return next(one.impostors for one in comparison.sets if dataset in (one.clean, one.degraded))


def _number(value: float, metric: Metric, genuine: int) -> str:
    if metric.is_rate:
        return f"{100 * value:.1f}" if genuine < 1000 else f"{100 * value:.2f}"
    return f"{value:.3f}"


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
