"""Numbers of a run, one row a logged step, in a CSV file that a resumed run continues as if it had never stopped."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from facemargin.files.atomic import write_text_atomically


class MetricsLog:
    """Appends rows to a CSV file. The first column must be `step`. A row with columns that no earlier one had adds
    them to the file, empty in the rows before.

    On opening, rows after `step` are cut off: they belong to steps that the resumed run takes again.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] | None = None
        if path.exists():
            self._truncate(step)

    def _truncate(self, step: int) -> None:
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        if not rows:
            return
        # A kill while writing may leave half a row at the end; it lies after the checkpoint and goes too.
        kept = [row for row in rows[1:] if len(row) == len(rows[0]) and row[0].isdigit() and int(row[0]) <= step]
        if not kept:  # the header may be half written too
            self.path.unlink()
            return
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([rows[0], *kept])
        write_text_atomically(self.path, text.getvalue())
        self.columns = rows[0]

    def write(self, row: Mapping[str, object]) -> None:
        """Append one row, in full precision, and flush it."""
        if self.columns is not None and not set(row) <= set(self.columns):
            self._widen(list(row), self.columns)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            if self.columns is None:
                self.columns = list(row)
                writer.writerow(self.columns)
            writer.writerow([row.get(column, "") for column in self.columns])

    def _widen(self, row: list[str], columns: list[str]) -> None:
        """With the new columns of a row, each behind the one that it follows there."""
        columns = list(columns)
        for number, column in enumerate(row):
            if column not in columns:
                columns.insert(columns.index(row[number - 1]) + 1 if number else len(columns), column)
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text_atomically(self.path, text.getvalue())
        self.columns = columns
