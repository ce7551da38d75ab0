"""What the command line costs before it does anything: processor time of `facemargin --help` and its like.

Each is a process of its own; the processor's time of user and system, as a terminal's `time` says it, is what a busy
machine changes least. For reference, the same time of a Python that imports torch and stops.
"""

import os
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path

from measure import machine

RESULTS = Path(__file__).parent / "results" / "command_line.md"
ROUNDS = 5
# arguments, aim in seconds
COMMANDS: list[tuple[str, float | None]] = [
    ("--help", 0.5),
    ("--version", 0.5),
    ("trian", 0.5),
    ("list recipes", 0.5),
    ("completion bash", 0.5),
    ("list", 2.0),
    ("embed --help", None),
    ("train --help", None),
    ("train funface_ms1mv3 --fields", None),
]


def processor_seconds(arguments: list[str]) -> float:
    """User and system time of a Python with these arguments, its output thrown away."""
    child = os.fork()
    if child == 0:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nowhere, stream)
        os.execv(sys.executable, [sys.executable, *arguments])
    _, _, used = os.wait4(child, 0)
    return used.ru_utime + used.ru_stime


def main() -> None:
    rows = {f"facemargin {words}": (["-m", "facemargin", *words.split()], aim) for words, aim in COMMANDS}
    rows["import torch"] = (["-c", "import torch"], None)
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for round_number in range(ROUNDS + 1):  # the first fills the disk's cache
        for name, (arguments, _) in rows.items():
            used = processor_seconds(arguments)
            if round_number:
                seconds[name].append(used)
    lines = [
        "# Processor time of the command line",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {sys.version.split()[0]}. User and system time of a "
        f"process of its own, seconds; median and range of {ROUNDS} rounds, by `benchmarks/command_line.py`.",
        "",
        "| command | seconds | range | aim |",
        "|---|---|---|---|",
    ]
    for name, (_, aim) in rows.items():
        used = seconds[name]
        lines.append(
            f"| `{name}` | {statistics.median(used):.2f} | {min(used):.2f}–{max(used):.2f} | "
            f"{'' if aim is None else f'≤ {aim:g}'} |"
        )
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
