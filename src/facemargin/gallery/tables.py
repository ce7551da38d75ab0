"""The tables of a gallery in a folder: who is enrolled, by which images, and which rows of its files count.

Everything that a file of strangers could hold is checked when it is opened: the tables are exactly these, so that no
view or trigger of theirs ever runs.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemargin.errors import DataError, OutputError
from facemargin.gallery.same_file import SameFile

TABLES_FILE = "gallery.sqlite"

_SCHEMA = {
    "about": "CREATE TABLE about (content TEXT NOT NULL)",
    "state": "CREATE TABLE state (generation INTEGER NOT NULL, image_rows INTEGER NOT NULL, template_rows INTEGER NOT "
    "NULL, changes INTEGER NOT NULL)",
    "people": "CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, row INTEGER, "
    "crc INTEGER, enrolled TEXT NOT NULL)",
    "images": "CREATE TABLE images (id INTEGER PRIMARY KEY AUTOINCREMENT, person INTEGER NOT NULL REFERENCES people, "
    "row INTEGER NOT NULL, crc INTEGER NOT NULL, norm REAL NOT NULL, quality REAL NOT NULL, source TEXT NOT NULL, "
    "digest INTEGER NOT NULL, consent TEXT NOT NULL, enrolled TEXT NOT NULL, reasons TEXT NOT NULL, in_review INTEGER "
    "NOT NULL)",
    "images_person": "CREATE INDEX images_person ON images (person)",
    "dead": "CREATE TABLE dead (kind TEXT NOT NULL, row INTEGER NOT NULL, erased INTEGER NOT NULL, PRIMARY KEY (kind, "
    "row)) WITHOUT ROWID",
}
_WAIT_SECONDS = 60.0


class Tables:
    """An open database at `path`. `wait` is how long to wait for another process that changes it."""

    def __init__(self, path: Path, wait: float = _WAIT_SECONDS) -> None:
        self.path = path
        if not path.is_file():
            raise DataError(
                f"{path.parent} is no gallery: it has no file {path.name}; facemargin gallery create makes one"
            )
        self._same: SameFile | None = None
        with self.translated():
            # autocommit: transactions begin and end where `changing` and `reading` say
            self.connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode=rw", wait, isolation_level=None, check_same_thread=False, uri=True
            )
            try:
                for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "synchronous=FULL", "secure_delete=ON"):
                    self.connection.execute(f"PRAGMA {pragma}")
                self._check_schema()
                self._same = SameFile(path)
            except BaseException:
                self.connection.close()
                raise

    @classmethod
    def create(cls, path: Path, about: str) -> None:
        """A new database without people. OSError or sqlite3.Error where that fails."""
        connection = sqlite3.connect(path)
        with connection:
            for statement in _SCHEMA.values():
                connection.execute(statement)
            connection.execute("INSERT INTO about VALUES (?)", (about,))
            connection.execute("INSERT INTO state VALUES (1, 0, 0, 0)")
        connection.close()

    def _check_schema(self) -> None:
        found = self.connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        )
        if dict(found.fetchall()) != _SCHEMA:
            raise DataError(
                f"{self.path} has not the tables of a gallery of this version of facemargin: it is another file, or "
                "damaged; restore it from a copy"
            )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A state in which nobody changes anything."""
        with self.translated():
            self.connection.execute("BEGIN")
            try:
                yield self.connection
            finally:
                self.connection.execute("ROLLBACK")

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """All that is changed within counts when it ends, or nothing of it does."""
        with self.translated():
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of SQLite as facemargin's, with the name of the file. DataError if it is another file than was opened:
        what SQLite still holds open is a gallery that is no longer there, and does not belong to the files of rows."""
        if self._same is not None:
            self._same.require()
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if "readonly" in text or "full" in text or "I/O" in text or "unable to open" in text:
                raise OutputError(f"cannot write {self.path}: {error}; nothing has changed") from error
            if "locked" in text:
                raise OutputError(f"{self.path} is in use by another process: wait, and run this again") from error
            raise DataError(f"{self.path} cannot be read: {error}; restore it from a copy") from error
        except (sqlite3.Error, UnicodeDecodeError, OverflowError) as error:
            raise DataError(f"{self.path} is damaged: {error}; restore it from a copy") from error

    def close(self) -> None:
        self.connection.close()
