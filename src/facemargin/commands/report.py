"""`facemargin report RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.report import write_run_report


@dataclass(frozen=True)
class Arguments:
    """Write the HTML report of a run or an evaluation."""

    folder: tyro.conf.Positional[Path]
    """The folder that `train` or `evaluate` wrote."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "report", arguments)
    Console().print(f"report: {write_run_report(args.folder)}", highlight=False, markup=False)
    return 0
