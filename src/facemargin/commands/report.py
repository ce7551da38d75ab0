"""`facemargin report RUN`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.report.formats import REPORT_FOLDER, WrittenReport, parse_formats, write_formats

_SOMETHING_IS_MISSING = 1


@dataclass(frozen=True)
class Arguments:
    """Write the report of a run or an evaluation: as an HTML page, and for a paper as Markdown, LaTeX, CSV and PDF."""

    folder: tyro.conf.Positional[Path]
    """The folder written by `train` or `evaluate`."""
    audit: Path | None = None
    """The folder of an audit of the training set (facemargin audit): what it found is marked among all images, where
    the run has a recording."""
    format: str = "html"
    """One or more of html, md, tex, csv and pdf, separated by commas. All but html write to FOLDER/report, with every
    table as a file and every figure as SVG and PDF."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "report", arguments)
    done = write_formats(args.folder, parse_formats(args.format), audit=args.audit)
    _say_written(done, args.folder)
    if done.missing:
        say(done.missing, "warning", stderr=True)
    return _SOMETHING_IS_MISSING if done.missing else 0


def _say_written(done: WrittenReport, folder: Path) -> None:
    whole = [path for path in done.written if path.parent in (folder, folder / REPORT_FOLDER)]
    for path in whole:
        say(f"report: {path}")
    parts = Counter((path.parent, path.suffix) for path in done.written if path not in whole)
    for (place, suffix), number in parts.items():
        say(f"{place.name}: {counted(number, f'{suffix} file')} in {place}")
    if done.replaced:
        say(f"{counted(len(done.replaced), 'file')} of an earlier report replaced", "note", stderr=True)
    if done.left_over:
        names = ", ".join(path.name for path in done.left_over)
        say(f"not of this report, but left as they were: {names}", "note", stderr=True)
