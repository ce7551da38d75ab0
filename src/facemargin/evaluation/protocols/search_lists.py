"""Reads the lists of a search (gallery, probes, distractors) from CSV files.

A list has a header and a line per image, with the columns `image` (a path relative to the images' folder) and
`identity`. If several images make one template, there are also the columns `template` and `media` (the frames of one
video share one; by default every image is one). Other columns are ignored. A list of distractors needs no identities,
because a distractor is never a mate. Shapes: E entries of lists, U units.
"""

import csv
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.evaluation.protocols.protocol import TemplateLists
from facemargin.files.listing import plain_path
from facemargin.files.unicode_names import one_form

Key = TypeVar("Key", bound=Hashable)

_COLUMNS = ("image", "identity", "template", "media")


@dataclass(frozen=True)
class Entry:
    """A line of a list. In a list of distractors, `identity` is None, and `claimed` is the identity in the file, if it
    has one. `template` and `media` are None if the list has no such column."""

    image: str
    identity: str | None
    template: str | None = None
    media: str | None = None
    claimed: str | None = None


def read_list(path: Path, distractors: bool = False) -> list[Entry]:
    """The entries of a list. Raises DataError, which names the line, for a line that cannot be read, and for one that
    gives a template or an image a second identity."""
    rows = _csv_rows(path)
    columns = [name.strip().lower() for name in next(rows, (1, []))[1]]
    needed = _COLUMNS[:1] if distractors else _COLUMNS[:2]
    absent = [name for name in _COLUMNS if columns.count(name) > 1 or (name in needed and name not in columns)]
    if absent:
        raise DataError(
            f"{path} line 1: the columns are {', '.join(columns)[:80]!r}, expected exactly one column "
            f"{absent[0]!r} (known columns: {', '.join(_COLUMNS)})"
        )
    places = {name: columns.index(name) for name in _COLUMNS if name in columns}
    entries: list[Entry] = []
    identity_of: dict[str, str] = {}
    person_of: dict[str, str] = {}
    for line, row in rows:
        where = f"{path} line {line}"
        if len(row) != len(columns):
            raise DataError(f"{where}: {counted(len(row), 'column')}, expected {len(columns)} as in the header")
        cells = {name: row[place].strip() for name, place in places.items()}
        # Identities must not depend on how an accent is encoded. Images are found on disk with either encoding.
        cells = {name: plain_path(text) if name == "image" else one_form(text) for name, text in cells.items()}
        empty = [name for name in cells if not cells[name] and not (distractors and name == "identity")]
        if empty:
            raise DataError(f"{where}: column {empty[0]!r} is empty")
        entry = Entry(
            cells["image"],
            None if distractors else cells["identity"],
            cells.get("template"),
            cells.get("media"),
            (cells.get("identity") or None) if distractors else None,
        )
        if entry.identity is not None:
            shown = person_of.setdefault(entry.image, entry.identity)
            if shown != entry.identity:
                raise DataError(f"{where}: {entry.image} shows {entry.identity}, but {shown} on an earlier line")
        if entry.template is not None and entry.identity is not None:
            known = identity_of.setdefault(entry.template, entry.identity)
            if known != entry.identity:
                raise DataError(
                    f"{where}: template {entry.template} shows {entry.identity}, but {known} on an earlier line"
                )
        entries.append(entry)
    if not entries:
        raise DataError(f"{path} lists no images; expected a header and a line per image")
    return entries


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, cells) of every row that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                for row in reader:
                    if row:
                        yield reader.line_num, row
            except csv.Error as error:
                raise DataError(f"{path} line {reader.line_num} is not valid CSV: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True)
class Gathered:
    """The images of several lists (an image in several lists is there once), their templates, if any, and for each list
    the units and the numbers of their identities. Distractors have −1, because they are never mates."""

    image_names: list[str]
    templates: TemplateLists | None
    units: dict[str, IntArray]
    identities: dict[str, IntArray]


def gather(lists: Mapping[str, Sequence[Entry]]) -> Gathered:
    """Collect the images, templates and identities of the lists. Templates with the same name in two lists are two
    templates."""
    image_of = _numbers(entry.image for entries in lists.values() for entry in entries)
    identity_of = _numbers(
        entry.identity for entries in lists.values() for entry in entries if entry.identity is not None
    )
    identities = {
        name: np.array([-1 if entry.identity is None else identity_of[entry.identity] for entry in entries])
        for name, entries in lists.items()
    }
    images = {name: np.array([image_of[entry.image] for entry in entries]) for name, entries in lists.items()}
    if all(entry.template is None for entries in lists.values() for entry in entries):
        return Gathered(list(image_of), None, images, identities)
    template_of = _numbers(key for name, entries in lists.items() for key in _template_keys(name, entries))
    media_of = _numbers(key for name, entries in lists.items() for key in _media_keys(name, entries))
    units = {name: np.array([template_of[k] for k in _template_keys(name, e)]) for name, e in lists.items()}
    media_E = np.array([media_of[k] for name, entries in lists.items() for k in _media_keys(name, entries)])
    templates = TemplateLists(
        # A text array would make all names as long as the longest.
        names=np.array([" ".join(key[:2]) for key in template_of], dtype=object),
        template_E=np.concatenate(list(units.values())),
        media_E=media_E,
        image_E=np.concatenate(list(images.values())),
    )
    first = {name: np.unique(of_list, return_index=True) for name, of_list in units.items()}
    return Gathered(
        list(image_of),
        templates,
        {name: template for name, (template, _) in first.items()},
        {name: identities[name][at] for name, (_, at) in first.items()},
    )


def _numbers(keys: Iterable[Key]) -> dict[Key, int]:
    """Number the distinct keys in the order of their first occurrence."""
    return {key: number for number, key in enumerate(dict.fromkeys(keys))}


def _template_keys(name: str, entries: Sequence[Entry]) -> Iterator[tuple[str, str, int]]:
    """If the list has no templates, every entry is its own template."""
    for number, entry in enumerate(entries):
        yield (name, entry.image, number) if entry.template is None else (name, entry.template, -1)


def _media_keys(name: str, entries: Sequence[Entry]) -> Iterator[tuple[str, str, int]]:
    for number, entry in enumerate(entries):
        yield (name, entry.image, number) if entry.media is None else (name, entry.media, -1)
