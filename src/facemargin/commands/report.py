"""`facemargin report RUN`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._say import say
from facemargin.report import write_run_report


@dataclass(frozen=True)
class Arguments:
    """Write the HTML report of a run or an evaluation."""

    folder: tyro.conf.Positional[Path]
    """The folder written by `train` or `evaluate`."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "report", arguments)
    say(f"report: {write_run_report(args.folder)}")
    return 0
