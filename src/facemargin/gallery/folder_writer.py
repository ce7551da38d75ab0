"""Changes a gallery in a folder: rows first, then one transaction, then zeros over what no longer counts.

Shapes: N images, D size, R rows.
"""

import contextlib
import json
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError, OutputError
from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_files import Kind, RowFiles, State, row_files
from facemargin.gallery.folder_rows import person_row, storable
from facemargin.gallery.store import NewImage
from facemargin.gallery.tables import Tables
from facemargin.gallery.templates import person_template
from facemargin.gallery.writer_lock import writing

_FEWEST_DEAD = 1000
"""Fewer dead rows than this are not worth writing the files anew."""

Templates = dict[int, NDArray[np.float32] | None]
"""By the number of the person; None where no image counts any more."""
_INSERT_IMAGE = (
    "INSERT INTO images (person, row, crc, norm, quality, source, digest, consent, enrolled, reasons, in_review) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class FolderWriter:
    """Holds the lock of the gallery as long as it is entered. What a killed process left is put in order first."""

    def __init__(self, folder: Path, tables: Tables, lock: threading.RLock, binding: Binding, doing: str) -> None:
        """`lock` is that of the threads that use the `tables`."""
        self._lock = lock
        self._folder, self._tables, self._binding, self._doing = folder, tables, binding, doing
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "FolderWriter":
        self._stack.enter_context(writing(self._folder, self._doing))
        try:
            with self._lock:
                self._tidy()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, images: Mapping[str, Sequence[NewImage]]) -> None:
        state = self._state()
        with self._tables.reading() as connection:
            next_number = _last_number(connection, "people") + 1
            known = {
                name: connection.execute("SELECT id FROM people WHERE name = ?", (storable(name),)).fetchone()
                for name in images
            }
        new = [name for name, found in known.items() if found is None]
        numbers = {name: found[0] for name, found in known.items() if found is not None}
        numbers |= {name: next_number + place for place, name in enumerate(new)}
        templates = {
            numbers[name]: self._template(state, numbers[name] if known[name] else None, of_person)
            for name, of_person in images.items()
            if not all(image.in_review for image in of_person)
        }
        everything = [(numbers[name], image) for name, of_person in images.items() for image in of_person]
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (number, state.image_rows + place, *_columns(image, now))
            for place, (number, image) in enumerate(everything)
        ]

        def apply(connection: sqlite3.Connection) -> None:
            people = [(numbers[name], storable(name), now) for name in new]
            connection.executemany("INSERT INTO people (id, name, enrolled) VALUES (?, ?, ?)", people)
            connection.executemany(_INSERT_IMAGE, rows)

        self._commit(state, [image.vector for _, image in everything], templates, apply)

    def remove_people(self, names: Sequence[str]) -> int:
        with self._tables.reading() as connection:
            numbers = [person_row(connection, name, str(self._folder))[0] for name in dict.fromkeys(names)]
            images = [image for number in numbers for image in _images_of(connection, number)]

        def apply(connection: sqlite3.Connection) -> None:
            self._delete_images(connection, images)

        self._commit(self._state(), [], dict.fromkeys(numbers), apply, numbers)
        self._compact_if_worth()
        return len(images)

    def remove_images(self, numbers: Sequence[int]) -> int:
        gone = dict.fromkeys(numbers)
        state = self._state()
        with self._tables.reading() as connection:
            people = self._people_of(connection, list(gone))
            left = {number: [one for one in _images_of(connection, number) if one not in gone] for number in people}
        templates = {number: self._template(state, number, without=gone) for number in people}

        def apply(connection: sqlite3.Connection) -> None:
            self._delete_images(connection, list(gone))

        self._commit(state, [], templates, apply, [number for number, images in left.items() if not images])
        self._compact_if_worth()
        return len(gone)

    def accept(self, numbers: Sequence[int]) -> None:
        accepted = dict.fromkeys(numbers)
        state = self._state()
        with self._tables.reading() as connection:
            people = self._people_of(connection, list(accepted))
        templates = {number: self._template(state, number, accepted=accepted) for number in people}

        def apply(connection: sqlite3.Connection) -> None:
            connection.executemany("UPDATE images SET in_review = 0 WHERE id = ?", [(number,) for number in accepted])

        self._commit(state, [], templates, apply)

    def move_images(self, numbers: Sequence[int], person: str) -> None:
        moved = dict.fromkeys(numbers)
        state = self._state()
        with self._tables.reading() as connection:
            people = self._people_of(connection, list(moved))
            found = connection.execute("SELECT id FROM people WHERE name = ?", (storable(person),)).fetchone()
            target = _last_number(connection, "people") + 1 if found is None else int(found[0])
            left = {number: [one for one in _images_of(connection, number) if one not in moved] for number in people}
        templates = {number: self._template(state, number, without=moved) for number in people if number != target}
        templates[target] = self._template(state, target, joining=list(moved))
        now = datetime.now(UTC).isoformat(timespec="seconds")

        def apply(connection: sqlite3.Connection) -> None:
            if found is None:
                connection.execute(
                    "INSERT INTO people (id, name, enrolled) VALUES (?, ?, ?)", (target, storable(person), now)
                )
            connection.executemany("UPDATE images SET person = ? WHERE id = ?", [(target, number) for number in moved])

        gone = [number for number, images in left.items() if not images and number != target]
        self._commit(state, [], templates, apply, gone)

    def compact(self) -> None:
        state = self._state()
        old = self._files(state)
        new_state = replace(state, generation=state.generation + 1, changes=state.changes + 1)
        new = self._files(new_state)
        with self._tables.reading() as connection:
            images = connection.execute("SELECT id, row FROM images ORDER BY row").fetchall()
            people = connection.execute("SELECT id, row FROM people WHERE row IS NOT NULL ORDER BY row").fetchall()
        image_R = state.rows_within("image", [row for _, row in images], self._tables.path)
        template_R = state.rows_within("template", [row for _, row in people], self._tables.path)
        try:
            new.images.create(cast(Any, _Chosen(old.images.mapped(state.image_rows), image_R)))
            new.templates.create(cast(Any, _Chosen(old.templates.mapped(state.template_rows), template_R)))
            new.people.create(np.array([[number] for number, _ in people], np.int64).reshape(-1, 1))
        except OSError as error:
            self._remove_other_files(state.generation)
            raise OutputError(f"cannot write {self._folder}: {error}; nothing has changed") from error
        with self._tables.changing() as connection:
            for table, found in (("images", images), ("people", people)):
                moved = [(place, number) for place, (number, _) in enumerate(found)]
                connection.executemany(f"UPDATE {table} SET row = ? WHERE id = ?", moved)
            connection.execute("DELETE FROM dead")
            replace(new_state, image_rows=len(images), template_rows=len(people)).write(connection)
        self._remove_other_files(new_state.generation)

    def _commit(
        self,
        state: State,
        vectors: Sequence[NDArray[np.float32]],
        templates: Templates,
        apply: Callable[[sqlite3.Connection], None],
        gone: Sequence[int] = (),
    ) -> None:
        """Let new rows count and old ones not, together with what `apply` does; people who are `gone` are deleted."""
        files = self._files(state)
        made = {number: template for number, template in templates.items() if template is not None}
        if len(vectors):
            files.images.write(state.image_rows, np.stack(vectors))
        if made:
            files.templates.write(state.template_rows, np.stack(list(made.values())))
            files.people.write(state.template_rows, np.array(list(made), np.int64).reshape(-1, 1))
        try:
            with self._tables.changing() as connection:
                apply(connection)
                connection.executemany(
                    "INSERT INTO dead SELECT 'template', row, 0 FROM people WHERE id = ? AND row IS NOT NULL",
                    [(number,) for number in templates],
                )
                connection.executemany(
                    "UPDATE people SET row = ?, crc = ? WHERE id = ?",
                    [(None, None, number) for number, template in templates.items() if template is None]
                    + [
                        (state.template_rows + place, _crc(template), number)
                        for place, (number, template) in enumerate(made.items())
                    ],
                )
                connection.executemany("DELETE FROM people WHERE id = ?", [(number,) for number in gone])
                replace(
                    state,
                    image_rows=state.image_rows + len(vectors),
                    template_rows=state.template_rows + len(made),
                    changes=state.changes + 1,
                ).write(connection)
        except BaseException:
            with contextlib.suppress(DataError, OutputError):
                self._cut(self._state())  # asked again: it may have been interrupted just after the change
            raise
        self._erase()

    def _template(
        self,
        state: State,
        number: int | None,
        added: Sequence[NewImage] = (),
        without: Mapping[int, object] = {},
        accepted: Mapping[int, object] = {},
        joining: Sequence[int] = (),
    ) -> NDArray[np.float32] | None:
        """The template of a person, None for one who is new, as it will be; `joining`: other people's images that will
        be this one's."""
        rows: list[tuple[int, int, float, int]] = []
        if number is not None:
            with self._tables.reading() as connection:
                rows = connection.execute(
                    "SELECT id, row, quality, in_review FROM images WHERE person = ? ORDER BY id", (number,)
                ).fetchall()
                for image in joining:
                    rows += connection.execute(
                        "SELECT id, row, quality, in_review FROM images WHERE id = ? AND person != ?", (image, number)
                    ).fetchall()
            rows.sort()
        counting = [
            (row, quality)
            for image, row, quality, in_review in rows
            if image not in without and (not in_review or image in accepted)
        ]
        old: list[NDArray[np.float32]] = []
        if counting:
            rows_N = state.rows_within("image", [row for row, _ in counting], self._tables.path)
            old = list(self._files(state).images.mapped(state.image_rows)[rows_N])
        vectors = [*old, *(image.vector for image in added if not image.in_review)]
        quality = [*(value for _, value in counting), *(image.quality for image in added if not image.in_review)]
        if not vectors:
            return None
        return person_template(np.stack(vectors), np.array(quality, np.float32), self._binding.quality_helps)

    def _people_of(self, connection: sqlite3.Connection, images: Sequence[int]) -> list[int]:
        people: dict[int, None] = {}
        for number in images:
            row = connection.execute("SELECT person FROM images WHERE id = ?", (number,)).fetchone()
            if row is None:
                raise DataError(
                    f"{self._folder} has no image {number}: facemargin gallery list --person NAME shows the numbers; "
                    "nothing has changed"
                )
            people[row[0]] = None
        return list(people)

    def _delete_images(self, connection: sqlite3.Connection, numbers: Iterable[int]) -> None:
        values = [(number,) for number in numbers]
        connection.executemany("INSERT INTO dead SELECT 'image', row, 0 FROM images WHERE id = ?", values)
        connection.executemany("DELETE FROM images WHERE id = ?", values)

    def _state(self) -> State:
        with self._tables.reading() as connection:
            return State.read(connection, self._tables.path)

    def _files(self, state: State) -> RowFiles:
        return row_files(self._folder, state.generation, self._binding.size)

    def _tidy(self) -> None:
        """After a process that was killed: rows that never counted and files that no longer do are deleted, rows that
        no longer count are erased."""
        state = self._state()
        self._cut(state)
        self._remove_other_files(state.generation)
        self._erase()

    def _cut(self, state: State) -> None:
        files = self._files(state)
        files.images.cut(state.image_rows)
        files.templates.cut(state.template_rows)
        files.people.cut(state.template_rows)

    def _remove_other_files(self, generation: int) -> None:
        kept = {file.path.name for file in row_files(self._folder, generation, self._binding.size)}
        for pattern in ("*.rows", "*.rows.partial"):
            for path in self._folder.glob(pattern):
                if path.name not in kept:
                    with contextlib.suppress(OSError):  # Windows, while somebody reads it: the next writer deletes it
                        path.unlink()

    def _erase(self) -> None:
        state = self._state()
        files = self._files(state)
        kinds: list[Kind] = ["image", "template"]
        for kind in kinds:
            with self._tables.reading() as connection:
                rows = connection.execute("SELECT row FROM dead WHERE kind = ? AND NOT erased", (kind,)).fetchall()
            if not rows:
                continue
            rows_R = state.rows_within(kind, [row for (row,) in rows], self._tables.path)
            file = files.images if kind == "image" else files.templates
            try:
                file.mapped(state.image_rows if kind == "image" else state.template_rows)  # whether it is whole
                file.erase(rows_R)
            except OSError as error:
                raise OutputError(
                    f"{counted(len(rows_R), 'vector')} of {file.path} no longer count, but could not be erased: "
                    f"{error}; they will be when the gallery is next changed"
                ) from error
            with self._tables.changing() as connection:
                connection.execute("UPDATE dead SET erased = 1 WHERE kind = ? AND NOT erased", (kind,))

    def _compact_if_worth(self) -> None:
        with self._tables.reading() as connection:
            (dead,) = connection.execute("SELECT COUNT(*) FROM dead WHERE kind = 'image'").fetchone()
            (images,) = connection.execute("SELECT COUNT(*) FROM images").fetchone()
        if dead > max(images, _FEWEST_DEAD):
            self.compact()


class _Chosen:
    """Rows of a mapped file, read a slice at a time."""

    def __init__(self, mapped: NDArray[np.float32], rows_R: NDArray[np.int64]) -> None:
        self._mapped, self._rows_R = mapped, rows_R

    def __len__(self) -> int:
        return len(self._rows_R)

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        return self._mapped[self._rows_R[part]]


def _columns(image: NewImage, now: str) -> tuple[object, ...]:
    return (
        _crc(image.vector),
        float(image.norm),
        float(image.quality),
        storable(image.source),
        image.digest,
        storable(image.consent),
        now,
        json.dumps(image.reasons),
        image.in_review,
    )


def _images_of(connection: sqlite3.Connection, person: int) -> list[int]:
    return [number for (number,) in connection.execute("SELECT id FROM images WHERE person = ?", (person,))]


def _last_number(connection: sqlite3.Connection, table: str) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])


def _crc(vector_D: NDArray[np.float32]) -> int:
    return zlib.crc32(np.ascontiguousarray(vector_D, "<f4").tobytes())
