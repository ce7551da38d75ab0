"""What an audit found wrong with a set of labelled images, and its file, findings.csv."""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from facemargin.errors import DataError
from facemargin.files.atomic import write_atomically
from facemargin.registry import unknown_name

Kind = Literal["mislabelled", "split", "merged", "duplicate", "unrecognisable", "no_face"]

KINDS: dict[Kind, str] = {
    "mislabelled": "the image does not show the person of its label",
    "split": "two labels are one person",
    "merged": "one label is two people",
    "duplicate": "the picture is there twice: re-encoded, scaled, mirrored or cut, under one label or two",
    "unrecognisable": "the image shows nobody who could be recognised",
    "no_face": "the image shows no face",
}


@dataclass(frozen=True)
class Finding:
    """One finding of an audit: `kind` says what is wrong with the image at `path`, `reason` why, in words.

    `path` and `other_path` are what the set calls its images (`describe`): the file, or the file and the record in it.
    `score` is the estimated probability that the finding is right, higher is surer. `label` and `suggested` are people:
    that of the image, and who it seems to be, "" where nobody is suggested. `other_path` is the image that it is
    compared with, or "".

    - split: `label` and `suggested` are the two labels of one person, each with the image nearest to its centre.
    - merged: `path` is in the smaller and `other_path` in the larger group of the images of `label`.
    - duplicate: `other_path` is the image to keep; where the labels differ, `suggested` is that of `other_path`.

    Examples:
        >>> import facemargin as fm
        >>> fm.Finding("Ann/3.jpg", "mislabelled", 0.98, "Ann", "Bob", reason="nearer to Bob (.71) than to Ann (.12)")
        Finding(path='Ann/3.jpg', kind='mislabelled', score=0.98, label='Ann', suggested='Bob', other_path='', \
reason='nearer to Bob (.71) than to Ann (.12)')
    """

    path: str
    kind: Kind
    score: float
    label: str
    suggested: str = ""
    other_path: str = ""
    reason: str = ""


FINDINGS_FILE = "findings.csv"
COLUMNS = tuple(field.name for field in fields(Finding))


def write_findings(findings: Iterable[Finding], path: Path) -> None:
    """Write the findings with the columns of `Finding`, completely or not at all. Names of files that are not UTF-8 are
    written byte for byte. Raises OutputError."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(astuple(finding) for finding in findings)

    write_atomically(path, write)


def read_findings(path: Path) -> list[Finding]:
    """The findings of a file that `write_findings` or another program wrote: columns by name, in any order, others are
    passed over. Raises DataError, which names the file and the line, for anything else."""
    return [row.finding for row in read_rows(path)]


class Row(NamedTuple):
    """A finding of a file, `where` it stands ("findings.csv, line 3"), and the texts of further columns."""

    finding: Finding
    where: str
    more: list[str]


def read_rows(path: Path, more: Sequence[str] = ()) -> Iterator[Row]:
    """The rows of a file of findings that has the columns `more`, too; raises the errors of `read_findings`."""
    columns = (*COLUMNS, *more)
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, [])
            if missing := [name for name in columns if header.count(name) != 1]:
                raise DataError(f"{path}: expected the columns {', '.join(columns)}, each once; wrong: {missing[0]}")
            places = [header.index(name) for name in columns]
            for row in rows:
                where = f"{path}, line {rows.line_num}"
                if len(row) <= max(places):
                    raise DataError(f"{where}: expected {len(columns)} values or more, found {len(row)}")
                values = [row[place] for place in places]
                yield Row(_finding(values[: len(COLUMNS)], where), where, values[len(COLUMNS) :])
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as findings: {error}") from error


SURE = 0.5
"""From this score on a finding is more probably right than not; an audit lists others, too."""

NOISE_AND_COPIES: tuple[Kind, ...] = ("mislabelled", "duplicate", "unrecognisable", "no_face")
"""The kinds of findings that are about one image."""

NOISE: tuple[Kind, ...] = ("mislabelled", "unrecognisable", "no_face")
"""The kinds of findings that say that an image teaches something wrong, or nothing."""


def _finding(values: Sequence[str], where: str) -> Finding:
    path, kind, score, label, suggested, other_path, reason = values
    if kind not in get_args(Kind):
        raise DataError(f"{where}: {unknown_name('kind', kind, list(KINDS))}")
    try:
        number = float(score)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: the score is {score!r}, expected a finite number")
    return Finding(path, kind, number, label, suggested, other_path, reason)  # type: ignore[arg-type]
