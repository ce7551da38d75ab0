"""A gallery in a folder: memory-mapped vectors and an SQLite file, for up to millions of people on one machine.

    gallery.sqlite         people, images, and how many rows of the files below count
    images-000001.rows     the vectors of the images, float32
    templates-000001.rows  the templates of the people, float32
    people-000001.rows     for each row of the templates the number of its person, int64

Files only grow: rows are added and flushed to the disk, then one transaction of SQLite makes them count, so that a
process killed at any moment leaves the gallery as before or as after. Rows that no longer count are dead; zeros are
written over them. `compact` leaves them out, in files of the next number. Shapes: N images, D size, R rows, P probes.
"""

import hashlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.gallery.binding import Binding
from facemargin.gallery.exact_search import search_rows
from facemargin.gallery.folder_check import check_folder
from facemargin.gallery.folder_files import Snapshot, State, row_files
from facemargin.gallery.folder_rows import image_of, people_in_pages, person_row, storable
from facemargin.gallery.folder_writer import FolderWriter
from facemargin.gallery.store import Candidates, EnrolledImage, EnrolledPerson, NewImage, Store
from facemargin.gallery.tables import TABLES_FILE, Tables

_IMAGE_COLUMNS = (
    "images.id, people.name, images.norm, images.quality, images.source, images.digest, images.consent, "
    "images.enrolled, images.reasons, images.in_review"
)


class FolderStore(Store):
    """The gallery in `folder`. Any number of processes read while one writes. DataError, which names the file, if it is
    no gallery or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, str(folder)
        self._tables = Tables(folder / TABLES_FILE)
        self._lock, self._write_lock = threading.RLock(), threading.RLock()
        self._writer: FolderWriter | None = None
        self._snapshot: Snapshot | None = None
        self._version = -1
        # of the state with so many changes: both read everybody, and are asked for with every search
        self._counted: tuple[int, tuple[int, int, int]] | None = None
        self._digest: tuple[int, str] | None = None
        try:
            with self._tables.reading() as connection:
                found = connection.execute("SELECT content FROM about").fetchall()
            try:
                ((content,),) = found
                self.binding = Binding.from_json(content)
            except (ValueError, TypeError, RecursionError) as error:
                raise DataError(f"{self._tables.path}, table about: {error}; restore it from a copy") from error
            self._current()
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, folder: Path, binding: Binding) -> "FolderStore":
        """A gallery without people in a new folder, which is there wholly or not at all. ConfigError if something is
        there already, OutputError if it cannot be written."""
        if folder.exists():
            raise ConfigError(f"{folder} exists already: give a new folder, or enrol into the gallery that is there")
        partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
        try:
            partial.mkdir(parents=True)
            Tables.create(partial / TABLES_FILE, binding.to_json())
            for file in row_files(partial, 1, binding.size):
                file.create()
            partial.rename(folder)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"cannot write {folder}: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls(folder)

    @contextmanager
    def writing(self, doing: str) -> Iterator[FolderWriter]:
        with self._write_lock:
            if self._writer is not None:
                yield self._writer
                return
            with FolderWriter(self.folder, self._tables, self._lock, self.binding, doing) as self._writer:
                try:
                    yield self._writer
                finally:
                    self._writer = None

    def add(self, images: Mapping[str, Sequence[NewImage]]) -> None:
        with self._changing("enrolling") as writer:
            writer.add(images)

    def remove_people(self, names: Sequence[str]) -> int:
        with self._changing("removing") as writer:
            return writer.remove_people(names)

    def remove_images(self, numbers: Sequence[int]) -> int:
        with self._changing("removing") as writer:
            return writer.remove_images(numbers)

    def accept(self, numbers: Sequence[int]) -> None:
        with self._changing("accepting") as writer:
            writer.accept(numbers)

    def move_images(self, numbers: Sequence[int], person: str) -> None:
        with self._changing("moving") as writer:
            writer.move_images(numbers, person)

    def compact(self) -> None:
        """Write the files anew without dead rows, which are zeros already: it frees their space."""
        with self._changing("compacting") as writer:
            writer.compact()

    @contextmanager
    def _changing(self, doing: str) -> Iterator[FolderWriter]:
        with self.writing(doing) as writer, self._lock:
            self._snapshot = None
            yield writer

    def people(self, after: int = 0) -> Iterator[EnrolledPerson]:
        return people_in_pages(self._tables, self._lock, after)

    def images(self, person: str | None = None, *, in_review: bool = False, after: int = 0) -> Iterator[EnrolledImage]:
        if person is not None:
            with self._lock, self._tables.reading() as connection:
                number = person_row(connection, person, self.name)[0]
        last = after
        where, values = ("", ()) if person is None else (" AND images.person = ?", (number,))
        where += " AND images.in_review" * in_review
        while True:
            with self._lock, self._tables.reading() as connection:
                rows = connection.execute(
                    f"SELECT {_IMAGE_COLUMNS} FROM images JOIN people ON people.id = images.person WHERE images.id > ?"
                    f"{where} ORDER BY images.id LIMIT 1000",
                    (last, *values),
                ).fetchall()
            if not rows:
                return
            for row in rows:
                yield image_of(row, self._tables.path)
            last = rows[-1][0]

    def vectors(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        with self._lock, self._tables.reading() as connection:
            state = State.read(connection, self._tables.path)
            rows = [
                connection.execute("SELECT row FROM images WHERE id = ?", (number,)).fetchone() for number in numbers
            ]
            if None in rows:
                raise DataError(
                    f"{self.name} has no image {numbers[rows.index(None)]}: facemargin gallery list --person NAME"
                )
            images = row_files(self.folder, state.generation, self.binding.size).images.mapped(state.image_rows)
            return np.array(images[state.rows_within("image", [row for (row,) in rows], self._tables.path)])

    def person_numbers(self, names: Sequence[str]) -> list[int | None]:
        with self._lock, self._tables.reading() as connection:
            found = [
                connection.execute("SELECT id FROM people WHERE name = ?", (storable(name),)).fetchone()
                for name in names
            ]
        return [None if row is None else row[0] for row in found]

    def person_names(self, numbers: Sequence[int]) -> list[str]:
        with self._lock, self._tables.reading() as connection:
            found = [connection.execute("SELECT name FROM people WHERE id = ?", (int(n),)).fetchone() for n in numbers]
        if None in found:
            raise DataError(
                f"{self._tables.path} has no person {numbers[found.index(None)]}, of whom there is a template: it is "
                "damaged; restore it from a copy"
            )
        return [str(row[0]) for row in found]

    def search(self, probes_PD: NDArray[np.float32], candidates: int) -> Candidates:
        snapshot = self._current()
        return Candidates(*search_rows(snapshot.templates_RD, snapshot.number_R, probes_PD, candidates))

    def counts(self) -> tuple[int, int, int]:
        with self._lock, self._tables.reading() as connection:
            changes = State.read(connection, self._tables.path).changes
            if self._counted is not None and self._counted[0] == changes:
                return self._counted[1]
            (people,) = connection.execute("SELECT COUNT(*) FROM people WHERE row IS NOT NULL").fetchone()
            (images,) = connection.execute("SELECT COUNT(*) FROM images WHERE NOT in_review").fetchone()
            (in_review,) = connection.execute("SELECT COUNT(*) FROM images WHERE in_review").fetchone()
            self._counted = changes, (people, images, in_review)
        return people, images, in_review

    def state(self) -> str:
        digest = hashlib.blake2b(digest_size=8)
        with self._lock, self._tables.reading() as connection:
            changes = State.read(connection, self._tables.path).changes
            if self._digest is not None and self._digest[0] == changes:
                return self._digest[1]
            rows = connection.execute("SELECT name, crc FROM people WHERE row IS NOT NULL ORDER BY name")
            for name, crc in rows:
                digest.update(f"{len(name)} {name} {crc}\n".encode())
            self._digest = changes, digest.hexdigest()
        return digest.hexdigest()

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        with self._lock, self._tables.reading() as connection:
            return check_folder(self.folder, connection, self.binding, progress)

    def close(self) -> None:
        self._snapshot = None
        self._tables.close()

    def _current(self) -> Snapshot:
        """The templates as they are now, mapped again only after a change."""
        with self._lock, self._tables.translated():
            (version,) = self._tables.connection.execute("PRAGMA data_version").fetchone()
            if self._snapshot is None or version != self._version:
                with self._tables.reading() as connection:
                    self._snapshot = Snapshot.read(self.folder, connection, self.binding.size)
                self._version = version
            return self._snapshot
