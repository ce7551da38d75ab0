"""Columns of numbers from a run's CSV files. Shapes: R rows."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError

Columns = dict[str, NDArray[np.float64]]


def read_columns(path: Path, text_column: str | None = None) -> tuple[Columns, list[str]]:
    """The numeric columns (R,) of a CSV file with a `step` column, in file order, and the texts of `text_column`.

    An empty cell is NaN. A last line without its line break was cut off while it was written, and is left out. Raises
    DataError, naming file and line, for a file without the columns needed, a line of another length, or a cell that is
    not a number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        names, *rows = list(csv.reader(line for line in lines if line.endswith("\n"))) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error
    for needed in ("step", text_column):
        if needed is not None and needed not in names:
            raise DataError(f"{path} has no column {needed!r}; its first line is {','.join(names)!r}")
    if len(set(names)) < len(names):
        raise DataError(f"{path} names a column twice: {','.join(names)!r}")
    for line, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise DataError(
                f"{path}, line {line}: {counted(len(row), 'value')}, expected {len(names)} as in the first line"
            )
    columns = {
        name: np.array([_number(row[place], path, line, name) for line, row in enumerate(rows, start=2)])
        for place, name in enumerate(names)
        if name != text_column
    }
    texts = [] if text_column is None else [row[names.index(text_column)] for row in rows]
    return columns, texts


def _number(cell: str, path: Path, line: int, column: str) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError as error:
        raise DataError(f"{path}, line {line}: column {column!r} holds {cell!r}, expected a number") from error
