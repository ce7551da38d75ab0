"""`facemargin plan --embed N` and `plan --gallery N`: their tables, and their numbers."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from facemargin.planning.scale import Line
from facemargin.tables import Table

_STEPS = ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_ONE = {"machines": "machine", "GPUs": "GPU", "cores": "core", "people": "person", "hours": "hour"}


def print_lines(title: str, lines: Sequence[Line], console: Console) -> None:
    """A table of the figures, with where each comes from below."""
    table = Table(title=title, title_justify="left")
    for name in ("", "", "figure", "from"):
        table.add_column(name, justify="right" if name == "" and table.columns else "left")
    for number, line in enumerate(lines, 1):
        table.add_row(line.what, shown(line), line.how, f"[{number}]")
    console.print(table)
    for number, line in enumerate(lines, 1):
        console.print(f"[{number}] {line.source}", highlight=False, markup=False)
    console.print(
        "Measured figures are those of one device; derived ones are computed from them, and were never tried at this "
        "size: measure a small part first.",
        highlight=False,
    )


def shown(line: Line) -> str:
    """The value and its unit, for people to read."""
    if line.unit.startswith("bytes"):
        for size, name in _STEPS:
            if line.value >= size:
                return f"{line.value / size:,.3g} {name}{line.unit.removeprefix('bytes')}"
    if line.unit == "hours" and line.value < 1:
        minutes = line.value * 60
        return f"{minutes:.3g} minutes" if minutes >= 1 else f"{minutes * 60:.3g} seconds"
    value = f"{line.value:,.0f}" if line.value >= 100 or float(line.value).is_integer() else f"{line.value:,.3g}"
    return f"{value} {_ONE.get(line.unit, line.unit) if value == '1' else line.unit}"


def lines_to_dict(lines: Sequence[Line]) -> dict[str, Any]:
    return {"figures": [asdict(line) for line in lines]}
