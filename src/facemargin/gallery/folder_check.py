"""Reads a whole gallery in a folder and says what is wrong with it. Shapes: R rows, D size."""

import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_files import State, row_files
from facemargin.gallery.row_file import RowFile
from facemargin.gallery.tables import TABLES_FILE

Progress = Callable[[int, int], None]
_BLOCK = 4096
_CLOSE = 1e-4
_NAMED = 20


def check_folder(
    folder: Path, connection: sqlite3.Connection, binding: Binding, progress: Progress | None = None
) -> list[str]:
    """What is wrong with the tables, the rows that count and those that are erased, naming file and row; empty if
    nothing is."""
    path = folder / TABLES_FILE
    problems = [f"{path}: {text}" for (text,) in connection.execute("PRAGMA integrity_check(5)") if text != "ok"]
    if problems:
        return problems  # what it says further cannot be relied on
    state = State.read(connection, path)
    files = row_files(folder, state.generation, binding.size)
    images = connection.execute("SELECT row, crc, id FROM images ORDER BY row").fetchall()
    templates = connection.execute("SELECT row, crc, id FROM people WHERE row IS NOT NULL ORDER BY row").fetchall()
    total = len(images) + len(templates)
    for kind, file, count, rows, done in (
        ("image", files.images, state.image_rows, images, 0),
        ("template", files.templates, state.template_rows, templates, len(images)),
    ):
        dead = connection.execute("SELECT row, erased FROM dead WHERE kind = ? ORDER BY row", (kind,)).fetchall()
        problems += _rows(path, kind, count, rows, dead)
        problems += _vectors(file, count, rows, dead, progress and _shifted(progress, done, total))
    problems += _owners(files.people, state, templates)
    for (name,) in connection.execute(
        "SELECT name FROM people WHERE (row IS NULL) = EXISTS (SELECT 1 FROM images WHERE person = people.id AND NOT "
        "in_review)"
    ):
        problems.append(f"{path}, table people: {name!r} has images that count and no template, or the reverse")
    for (number,) in connection.execute("SELECT id FROM images WHERE person NOT IN (SELECT id FROM people)"):
        problems.append(f"{path}, table images: image {number} is of a person who is not there")
    if len(problems) > _NAMED:
        problems[_NAMED:] = [f"{folder}: {counted(len(problems) - _NAMED, 'other problem')}"]
    return problems


def _rows(path: Path, kind: str, count: int, rows: list[Any], dead: list[Any]) -> list[str]:
    """Every row that counts belongs to one image or template, or is dead."""
    used = [row for row, *_ in [*rows, *dead]]
    if any(type(row) is not int or not 0 <= row < count for row in used):
        return [f"{path}: a row of the {kind}s is none of the {count:,} that count"]
    times = np.bincount(np.array(used, np.int64), minlength=count)
    wrong = np.flatnonzero(times != 1)
    if not len(wrong):
        return []
    what = "belongs to nothing" if times[wrong[0]] == 0 else f"belongs to {times[wrong[0]]} {kind}s"
    return [f"{path}: row {wrong[0]} of the {kind}s {what} ({counted(len(wrong), 'such row')})"]


def _vectors(file: RowFile, count: int, rows: list[Any], dead: list[Any], progress: Progress | None) -> list[str]:
    try:
        mapped = file.mapped(count)
    except DataError as error:
        return [str(error)]
    rows = [row for row in rows if type(row[0]) is int and 0 <= row[0] < count]
    problems = []
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        vectors_RD = mapped[[row for row, *_ in part]]
        lengths_R = np.linalg.norm(vectors_RD.astype(np.float64), axis=1)
        for (row, crc, _), vector_D, length in zip(part, vectors_RD, lengths_R.tolist(), strict=True):
            if zlib.crc32(vector_D.tobytes()) != crc:
                problems.append(f"{file.path}: row {row} is not what was written (its checksum differs)")
            elif not np.isfinite(length):
                problems.append(f"{file.path}: row {row} holds a value that is not finite")
            elif abs(length - 1) > _CLOSE:
                problems.append(f"{file.path}: row {row} has the length {length:.6g}, expected 1")
        if progress is not None:
            progress(start + len(part), len(rows))
    waiting = [row for row, erased in dead if not erased]
    if waiting:
        problems.append(
            f"{file.path}: {counted(len(waiting), 'vector')} that no longer count are not erased yet, the first in row "
            f"{waiting[0]}: the next change of the gallery erases them"
        )
    erased = [row for row, erased in dead if erased and type(row) is int and 0 <= row < count]
    left = [row for row in erased if mapped[row].any()]
    if left:
        problems.append(f"{file.path}: row {left[0]} was erased, but is not zero ({counted(len(left), 'such row')})")
    return problems


def _owners(file: RowFile, state: State, templates: list[Any]) -> list[str]:
    try:
        number_R: NDArray[np.int64] = file.mapped(state.template_rows)[:, 0]
    except DataError as error:
        return [str(error)]
    return [
        f"{file.path}: row {row} is of person {number_R[row]}, expected {number}"
        for row, _, number in templates
        if type(row) is int and 0 <= row < state.template_rows and number_R[row] != number
    ]


def _shifted(progress: Progress, by: int, total: int) -> Progress:
    return lambda done, _: progress(by + done, total)
