"""The people and images of a gallery from the rows of its tables."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from facemargin.errors import DataError
from facemargin.gallery.store import EnrolledImage, EnrolledPerson
from facemargin.gallery.tables import Tables
from facemargin.quality.image_statistics import Reason

_PAGE = 1000
_PEOPLE = """
SELECT people.id, people.name, COUNT(CASE WHEN NOT in_review THEN 1 END), COUNT(CASE WHEN in_review THEN 1 END),
    AVG(CASE WHEN NOT in_review THEN quality END), people.enrolled
FROM (SELECT * FROM people WHERE id > ? ORDER BY id LIMIT ?) AS people LEFT JOIN images ON images.person = people.id
GROUP BY people.id ORDER BY people.id
"""


def storable(text: str) -> str:
    """The text, with bytes of a file's name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def person_row(connection: sqlite3.Connection, name: str, gallery: str) -> tuple[int, int | None]:
    """The number of a person and the row of the template. DataError for one who is not enrolled."""
    row = connection.execute("SELECT id, row FROM people WHERE name = ?", (storable(name),)).fetchone()
    if row is None:
        raise DataError(f"nobody is enrolled as {name!r} in {gallery}: facemargin gallery list shows who is")
    return row[0], row[1]


def people_in_pages(tables: Tables, lock: threading.RLock, after: int) -> Iterator[EnrolledPerson]:
    """Everybody of a number above `after`, read a page at a time."""
    last = after
    while True:
        with lock, tables.reading() as connection:
            rows = connection.execute(
                _PEOPLE,
                (last, _PAGE),
            ).fetchall()
        if not rows:
            return
        for number, name, images, in_review, quality, enrolled in rows:
            if not isinstance(name, str) or not isinstance(quality, float | None) or not isinstance(enrolled, str):
                raise DataError(f"{tables.path}, table people, person {number}: damaged; restore it from a copy")
            mean = float("nan") if quality is None else quality
            yield EnrolledPerson(number, name, images, in_review, mean, enrolled)
        last = rows[-1][0]


def image_of(row: tuple[Any, ...], path: Path) -> EnrolledImage:
    """DataError, which names the image, for values of another type."""
    number, person, norm, quality, source, digest, consent, enrolled, reasons, in_review = row
    texts, numbers = (person, source, consent, enrolled, reasons), (norm, quality)
    try:
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(value, float) for value in numbers):
            raise ValueError("a value of another type")
        if type(digest) is not int or in_review not in (0, 1):
            raise ValueError("a value of another type")
        found = tuple(Reason(str(code), str(words)) for code, words in json.loads(reasons))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{path}, table images, image {number}: {error}; restore it from a copy") from error
    return EnrolledImage(number, person, norm, quality, source, digest, consent, enrolled, found, bool(in_review))
