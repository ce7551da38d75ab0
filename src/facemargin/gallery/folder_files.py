"""Which rows of a gallery's files count. Shapes: R rows, D size."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError
from facemargin.gallery.row_file import RowFile
from facemargin.gallery.tables import TABLES_FILE

Kind = Literal["image", "template"]


class RowFiles(NamedTuple):
    """The three files of one generation."""

    images: RowFile
    templates: RowFile
    people: RowFile


def row_files(folder: Path, generation: int, size: int) -> RowFiles:
    """The files of a generation, whether they are there or not."""
    shapes = {"images": ("<f4", size), "templates": ("<f4", size), "people": ("<i8", 1)}
    return RowFiles(*(RowFile(folder / f"{name}-{generation:06d}.rows", *shape) for name, shape in shapes.items()))


@dataclass(frozen=True)
class State:
    """Which files count, how many rows of them, and how often the gallery has changed."""

    generation: int
    image_rows: int
    template_rows: int
    changes: int

    @classmethod
    def read(cls, connection: sqlite3.Connection, path: Path) -> "State":
        rows = connection.execute("SELECT generation, image_rows, template_rows, changes FROM state").fetchall()
        if len(rows) != 1 or not all(type(value) is int and 0 <= value < 2**40 for value in rows[0]):
            raise DataError(f"{path}, table state: {rows[:2]}, expected one row of counts; restore it from a copy")
        return cls(*rows[0])

    def write(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "UPDATE state SET generation = ?, image_rows = ?, template_rows = ?, changes = ?",
            (self.generation, self.image_rows, self.template_rows, self.changes),
        )

    def rows_within(self, kind: Kind, rows: Sequence[object], path: Path) -> NDArray[np.int64]:
        """These rows as numbers; DataError if one is none of those that count."""
        count = self.image_rows if kind == "image" else self.template_rows
        wrong = [row for row in rows if type(row) is not int or not 0 <= row < count]
        if wrong:
            raise DataError(
                f"{path} names row {wrong[0]!r} of the {kind}s, of which {count:,} count: it is damaged; restore it "
                "from a copy"
            )
        return np.array(rows, dtype=np.int64)


@dataclass(frozen=True)
class Snapshot:
    """The templates (R, D) at one moment, and the numbers of their people (R,), −1 for rows that do not count."""

    templates_RD: NDArray[np.float32]
    number_R: NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path, connection: sqlite3.Connection, size: int) -> "Snapshot":
        path = folder / TABLES_FILE
        state = State.read(connection, path)
        files = row_files(folder, state.generation, size)
        number_R = np.array(files.people.mapped(state.template_rows)[:, 0], dtype=np.int64)
        dead = connection.execute("SELECT row FROM dead WHERE kind = 'template'").fetchall()
        number_R[state.rows_within("template", [row for (row,) in dead], path)] = -1
        files.images.mapped(state.image_rows)  # whether it is there
        return cls(files.templates.mapped(state.template_rows), number_R)
