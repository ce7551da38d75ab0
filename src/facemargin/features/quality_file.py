"""Reads qualities that another tool has measured from a file. Shapes: N images."""

import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.features.paths_by_end import PathsByEnd
from facemargin.files.plain_numbers import decimal_number

# The headings that known tools use for the overall quality: `facemargin quality`, OFIQ (its scalar maps the raw value
# to 0…100).
_COLUMNS = ("quality", "UnifiedQualityScore.scalar", "UnifiedQualityScore")
_DELIMITERS = ",;\t"


class QualityFile:
    """A .csv file with a line of headings, the image's path in the first column, and a column of qualities (higher is
    better), as `facemargin quality`, OFIQ and many tools write it. Columns are separated by commas, semicolons or tabs.

    `column` is the heading of the column to read. The default is a known heading, or the only other one. Images are
    found by the end of their paths (see `PathsByEnd`). Raises DataError, which names file and line, for content that
    cannot be read, and for a path or column that occurs twice.
    """

    def __init__(self, path: Path, column: str | None = None) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as a table of qualities: {error}") from error
        first_line = text.split("\n", 1)[0]
        delimiter = max(_DELIMITERS, key=first_line.count)
        try:
            reader = csv.reader(io.StringIO(text), delimiter=delimiter)
            lines = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise DataError(f"{path} cannot be read as a table of qualities: {error}") from error
        headings, rows = lines[0][1] if lines else [], lines[1:]
        if not rows or len(headings) < 2 or any(decimal_number(name.strip()) is not None for name in headings[1:]):
            given = f", not {delimiter.join(headings)[:80]!r}," if headings else ""
            raise DataError(f"{path}: expected a line of headings (path, quality){given} and a line for every image")
        self.column = self._column(headings, column)
        if headings.count(self.column) > 1:
            raise DataError(f"{path} has {headings.count(self.column)} columns called {self.column}, expected one")
        for line, row in rows:
            if any(row[len(headings) :]):
                raise DataError(f"{path}, line {line}: {len(row)} values under {len(headings)} headings")
        place = headings.index(self.column)
        self._quality_N = np.array([self._number(row, place, line) for line, row in rows])
        self._paths = PathsByEnd([row[0] for _, row in rows], path)

    def of(self, images: ImageSource) -> NDArray[np.float64]:
        """The qualities (N,) of `images`, in their order. Raises DataError, which names the image, for an image that is
        not in the file."""
        return self._quality_N[self._paths.find(images, "quality")]

    def _column(self, headings: list[str], asked: str | None) -> str:
        if asked is not None:
            if asked not in headings[1:]:
                raise DataError(f"{self.path} has no column {asked!r}; it has {', '.join(headings[1:])}")
            return asked
        known = [name for name in _COLUMNS if name in headings[1:]]
        if not known and len(headings) == 2:
            known = headings[1:]
        if not known:
            raise DataError(
                f"{self.path} has no column called quality; choose one of {', '.join(headings[1:])}, as in "
                f"{self.path}:{headings[1]}"
            )
        return known[0]

    def _number(self, row: list[str], place: int, line: int) -> float:
        number = decimal_number(row[place].strip()) if place < len(row) else None
        if number is None:
            given = repr(row[place]) if place < len(row) else "missing"
            raise DataError(f"{self.path}, line {line}: {self.column} is {given}, expected a number such as 0.75")
        return number
