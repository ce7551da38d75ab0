"""A check of a measure of quality as tables for the terminal."""

from facemargin.evaluation.checked_quality import DiscardResult, KindResponse, QualityCheck
from facemargin.evaluation.quality_verdict import falls, ranks_low, rises
from facemargin.tables import Table


def check_tables(check: QualityCheck) -> list[Table]:
    """One table for each of the three questions."""
    degraded = Table(
        "degraded by",
        "rank correlation of quality with strength",
        "95 %",
        "falls?",
        title=f"{check.measure}: does quality fall when faces are degraded?",
        caption=f"{check.stepped:,} faces, each by itself at {len(check.strengths)} strengths; −1: it falls with every "
        f"step. Ranges resample {check.resampled}.",
    )
    for kind in check.kinds:
        answer = "yes" if falls(kind) else "no, it rises" if rises(kind) else "not surely"
        degraded.add_row(kind.kind, f"{kind.correlation:+.2f}", _range(kind), answer)
    strange = Table(
        "picture without a face",
        "above the lowest tenth of clean faces",
        "low enough?",
        title=f"{check.measure}: do pictures without a face rank below faces?",
    )
    for item in check.not_faces:
        strange.add_row(item.kind, f"{item.above} of {item.count}", "yes" if ranks_low(item) else "no")
    return [degraded, strange, *([_discards(check)] if check.discards else [])]


def _discards(check: QualityCheck) -> Table:
    assert check.fmr is not None
    limit = check.discards[0].limit
    table = Table(
        "faces",
        "genuine pairs",
        "missed",
        f"errors left, {limit:.0%} discarded by quality instead of at random",
        "95 %",
        title=f"{check.measure}: does discarding by quality avoid errors?",
        caption=f"At the threshold of FMR {check.fmr:g} on {check.impostors:,} impostor pairs of clean faces. Relative "
        "area under error versus discard, minus 1; below 0, quality helps. Ranges resample people.",
    )
    for result in check.discards:
        left = "–" if result.difference is None else f"{result.difference:+.1%}"
        table.add_row(result.faces, f"{result.genuine:,}", f"{result.missed:,}", left, _of_discard(result))
    return table


def _range(kind: KindResponse) -> str:
    return "–" if kind.interval is None else f"{kind.interval[0]:+.2f} to {kind.interval[1]:+.2f}"


def _of_discard(result: DiscardResult) -> str:
    return "–" if result.interval is None else f"{result.interval[0]:+.1%} to {result.interval[1]:+.1%}"
