"""Reads a whole gallery in Milvus and says what is wrong with it. Shapes: D size."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.gallery.milvus_rows import MilvusState, checked, image_of, name_digest, vector_of
from facemargin.gallery.milvus_tables import Kind, MilvusTables, alive
from facemargin.gallery.milvus_writer import crc_of

_CLOSE = 1e-4
_NAMED = 20


def check_milvus(
    tables: MilvusTables, state: MilvusState, progress: Callable[[int, int], None] | None = None
) -> list[str]:
    """What is wrong with the rows that count now, naming image and person; empty if nothing is."""
    now, problems = state.changes, list[str]()
    names: dict[int, str] = {}
    people: Counter[int] = Counter()
    called: Counter[str] = Counter()
    templates: set[int] = set()
    total = state.people + state.images + state.in_review
    done = 0
    fields: tuple[str, ...] = ("person", "name", "name_digest", "crc", "has_template", "vector")
    for row in tables.rows("people", alive(now), fields, paged=True):
        done += 1
        problems += _vector(tables, "people", row, f"the template of person {row['person']}")
        people[row["person"]] += 1
        called[row["name"]] += 1
        if row["name_digest"] != name_digest(row["name"]):
            problems.append(f"{tables.place}: person {row['person']} cannot be found by name")
        names[row["person"]] = row["name"]
        if row["has_template"]:
            templates.add(row["person"])
        if progress is not None and done % 1000 == 0:
            progress(done, total)
    counting: Counter[int] = Counter()
    numbers: Counter[int] = Counter()
    fields = (
        "number", "person", "crc", "norm", "quality", "source", "digest", "consent", "enrolled", "reasons", "in_review",
        "vector",
    )  # fmt: skip
    for row in tables.rows("images", alive(now), fields, paged=True):
        done += 1
        problems += _vector(tables, "images", row, f"image {row['number']}")
        numbers[row["number"]] += 1
        if row["person"] not in names:
            problems.append(f"{tables.place}: image {row['number']} is of a person who is not there")
        if not row["in_review"]:
            counting[row["person"]] += 1
        if progress is not None and done % 1000 == 0:
            progress(done, total)
    for what, counts in (("person", people), ("name", called), ("image", numbers)):
        problems += [f"{tables.place}: {what} {one!r} is there {n} times" for one, n in counts.items() if n > 1]
    for person in sorted((set(counting) ^ templates) & set(names)):
        problems.append(f"{tables.place}: {names[person]!r} has images that count and no template, or the reverse")
    found = (len(templates), counting.total(), numbers.total() - counting.total())
    if found != (state.people, state.images, state.in_review):
        problems.append(
            f"{tables.place}: there are {found[0]:,} people, {found[1]:,} images that count and {found[2]:,} in "
            f"review, expected {state.people:,}, {state.images:,} and {state.in_review:,}"
        )
    if progress is not None:
        progress(total, total)
    if len(problems) > _NAMED:
        problems[_NAMED:] = [f"{tables.place}: {counted(len(problems) - _NAMED, 'other problem')}"]
    return problems


def _vector(tables: MilvusTables, kind: Kind, row: dict[str, object], what: str) -> list[str]:
    try:
        vector = vector_of(checked(row, tables), tables)
        if kind == "images":
            image_of(row, "", tables)
    except DataError as error:
        return [str(error)]
    if kind == "people" and not row["has_template"]:
        return [f"{tables.place}: {what} is not zero, and does not count"] if vector.any() else []
    if crc_of(vector) != row["crc"]:
        return [f"{tables.place}: {what} is not what was written (its checksum differs)"]
    length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1) <= _CLOSE:
        return [f"{tables.place}: {what} has the length {length:.6g}, expected 1"]
    return []
