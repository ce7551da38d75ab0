"""Changes a gallery in Milvus: new rows first, then one row that makes them count, then those that do not are deleted.

Shapes: N images, D size.
"""

import contextlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError, OutputError
from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_rows import storable
from facemargin.gallery.milvus_lease import lease
from facemargin.gallery.milvus_rows import MilvusState, checked, in_pages, name_digest, vector_of
from facemargin.gallery.milvus_tables import ALIVE, Kind, MilvusTables, alive, among, require_text
from facemargin.gallery.store import NewImage
from facemargin.gallery.templates import person_template

_IMAGE = (
    "row", "number", "person", "born", "died", "crc", "norm", "quality", "source", "digest", "consent", "enrolled",
    "reasons", "in_review", "vector",
)  # fmt: skip
_PERSON = ("row", "person", "name", "name_digest", "born", "died", "crc", "has_template", "enrolled", "vector")
_KINDS: tuple[tuple[Kind, Sequence[str]], ...] = (("images", _IMAGE), ("people", _PERSON))

Row = dict[str, Any]


class MilvusWriter:
    """Changes the gallery as long as it is entered. What a killed process left is put in order first."""

    def __init__(self, tables: MilvusTables, binding: Binding, doing: str) -> None:
        self._tables, self._binding, self._doing = tables, binding, doing
        self._stack = contextlib.ExitStack()
        self._require_ours: Callable[[], None] = lambda: None

    def __enter__(self) -> "MilvusWriter":
        if not self._tables.place.is_file:  # a file is open in this process alone
            self._require_ours = self._stack.enter_context(lease(self._tables, self._doing))
        try:
            self._tidy()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, images: Mapping[str, Sequence[NewImage]]) -> None:
        state = MilvusState.read(self._tables)
        known = self._people_named(state, [storable(name) for name in images])
        now = datetime.now(UTC).isoformat(timespec="seconds")
        people: dict[int, Row] = {person["person"]: person for person in known.values()}
        new: list[Row] = []
        number, next_person = state.next_image, state.next_person
        for given, of_person in images.items():
            name = require_text(storable(given), f"the name {given[:40]!r}…")
            if name not in known:
                known[name] = people[next_person] = _new_person(next_person, name, now)
                next_person += 1
            for image in of_person:
                new.append(_image_row(number, known[name]["person"], image, now))
                number += 1
        self._commit(replace(state, next_image=number, next_person=next_person), new, [], people)

    def remove_people(self, names: Sequence[str]) -> int:
        state = MilvusState.read(self._tables)
        people = {row["person"]: row for row in self._require_people(state, names).values()}
        gone = self._images_of(state, list(people))
        self._commit(state, [], gone, people)
        return len(gone)

    def remove_images(self, numbers: Sequence[int]) -> int:
        state = MilvusState.read(self._tables)
        gone = self._require_images(state, numbers)
        self._commit(state, [], gone, self._people_of(state, gone))
        return len(gone)

    def accept(self, numbers: Sequence[int]) -> None:
        state = MilvusState.read(self._tables)
        old = self._require_images(state, numbers)
        self._commit(state, [row | {"in_review": False} for row in old], old, self._people_of(state, old))

    def move_images(self, numbers: Sequence[int], person: str) -> None:
        state = MilvusState.read(self._tables)
        old = self._require_images(state, numbers)
        people = self._people_of(state, old)
        name = require_text(storable(person), f"the name {person[:40]!r}…")
        target = self._people_named(state, [name]).get(name)
        next_person = state.next_person
        if target is None:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            target, next_person = _new_person(next_person, name, now), next_person + 1
        people[target["person"]] = target
        moved = [row | {"person": target["person"]} for row in old]
        self._commit(replace(state, next_person=next_person), moved, old, people)

    def _commit(self, state: MilvusState, new: Sequence[Row], gone: Sequence[Row], people: Mapping[int, Row]) -> None:
        """Let `new` images count and those that are `gone` not, with new templates of all these `people`, who are
        deleted where no image is left. An image in both is another version of itself."""
        change = state.changes + 1
        left: dict[int, dict[int, Row]] = defaultdict(dict)
        existing = [number for number, row in people.items() if "row" in row]
        gone_rows = {row["row"] for row in gone}
        for row in self._images_of(state, existing):
            if row["row"] not in gone_rows:
                left[row["person"]][row["number"]] = row
        for row in new:
            left[row["person"]][row["number"]] = row
        next_row = state.next_row
        versions: dict[Kind, list[Row]] = {"images": list(new), "people": []}
        for number, person in people.items():
            if left[number]:
                versions["people"].append(person | self._template([left[number][one] for one in sorted(left[number])]))
        counts = _counts(new, versions["people"]) - _counts(gone, list(people.values()))
        born: dict[Kind, list[Row]] = {}
        for kind, rows in versions.items():
            born[kind] = [
                row | {"row": next_row + place, "born": change, "died": ALIVE} for place, row in enumerate(rows)
            ]
            next_row += len(rows)
        after = replace(
            state,
            people=state.people + int(counts[0]), images=state.images + int(counts[1]),
            in_review=state.in_review + int(counts[2]),
        )  # fmt: skip
        dying: dict[Kind, list[Row]] = {
            "images": [row | {"died": change} for row in gone],
            "people": [row | {"died": change} for row in people.values() if "row" in row],
        }
        try:
            for kind, _ in _KINDS:
                self._tables.insert(kind, born[kind])
                self._tables.insert(kind, dying[kind])
            self._require_ours()
            self._tables.insert("about", [replace(after, changes=change, next_row=next_row).row()])
        except BaseException:
            with contextlib.suppress(DataError, OutputError):
                self._tidy()
            raise
        for kind, _ in _KINDS:
            self._tables.delete(kind, [row["row"] for row in dying[kind]])

    def _template(self, images: Sequence[Row]) -> Row:
        """What the row of a person says of the images that count."""
        counting = [row for row in images if not row["in_review"]]
        if not counting:
            return {"crc": 0, "has_template": False, "vector": [0.0] * self._binding.size}
        vectors = np.stack([vector_of(row, self._tables) for row in counting])
        quality = np.array([row["quality"] for row in counting], np.float32)
        template = person_template(vectors, quality, self._binding.quality_helps)
        return {"crc": crc_of(template), "has_template": True, "vector": template.tolist()}

    def _tidy(self) -> None:
        """After a process that was killed: what it wrote and never counted is deleted, what it was about to delete
        stays, what no longer counts is deleted."""
        now = MilvusState.read(self._tables).changes
        for kind, fields in _KINDS:
            while unborn := self._tables.some(kind, f"born > {now} or died <= {now}", ("row",)):
                self._tables.delete(kind, [row["row"] for row in unborn])
            while dying := self._tables.some(kind, f"died > {now} and died < {ALIVE}", fields):
                self._tables.insert(kind, [checked(row, self._tables) | {"died": ALIVE} for row in dying])

    def _people_named(self, state: MilvusState, names: Sequence[str]) -> dict[str, Row]:
        digests = list({name_digest(name) for name in names})
        rows = self._paged("people", "name_digest", digests, state, _PERSON)
        return {row["name"]: row for row in rows if row["name"] in names}

    def _require_people(self, state: MilvusState, names: Sequence[str]) -> dict[str, Row]:
        found = self._people_named(state, [storable(name) for name in names])
        for name in names:
            if storable(name) not in found:
                raise DataError(
                    f"nobody is enrolled as {name!r} in {self._tables.place}: facemargin gallery list shows who is"
                )
        return found

    def _people_of(self, state: MilvusState, images: Sequence[Row]) -> dict[int, Row]:
        numbers = list({row["person"]: None for row in images})
        return {row["person"]: row for row in self._paged("people", "person", numbers, state, _PERSON)}

    def _images_of(self, state: MilvusState, people: Sequence[int]) -> list[Row]:
        return self._paged("images", "person", people, state, _IMAGE)

    def _require_images(self, state: MilvusState, numbers: Sequence[int]) -> list[Row]:
        found = {
            row["number"]: row for row in self._paged("images", "number", list(dict.fromkeys(numbers)), state, _IMAGE)
        }
        for number in numbers:
            if number not in found:
                raise DataError(
                    f"{self._tables.place} has no image {number}: facemargin gallery list --person NAME shows the "
                    "numbers; nothing has changed"
                )
        return list(found.values())

    def _paged(
        self, kind: Kind, field: str, numbers: Sequence[int], state: MilvusState, fields: Sequence[str]
    ) -> list[Row]:
        found: list[Row] = []
        for page in in_pages(numbers):
            found += self._rows(kind, f"{among(field, page)} and {alive(state.changes)}", fields)
        return found

    def _rows(self, kind: Kind, where: str, fields: Sequence[str]) -> list[Row]:
        return [checked(row, self._tables) for row in self._tables.rows(kind, where, fields)]


def crc_of(vector_D: NDArray[np.float32]) -> int:
    """Of a vector's float32 values."""
    return zlib.crc32(np.ascontiguousarray(vector_D, "<f4").tobytes())


def _counts(images: Sequence[Row], people: Sequence[Row]) -> NDArray[np.int64]:
    """People with a template, images that count, and those in review."""
    waiting = sum(row["in_review"] for row in images)
    return np.array([sum(row.get("has_template", False) for row in people), len(images) - waiting, waiting])


def _new_person(number: int, name: str, now: str) -> Row:
    return {"person": number, "name": name, "name_digest": name_digest(name), "enrolled": now}


def _image_row(number: int, person: int, image: NewImage, now: str) -> Row:
    return {
        "number": number,
        "person": person,
        "crc": crc_of(image.vector),
        "norm": float(image.norm),
        "quality": float(image.quality),
        "source": require_text(storable(image.source), "the path of an image"),
        "digest": image.digest,
        "consent": require_text(storable(image.consent), "the note about consent"),
        "enrolled": now,
        "reasons": require_text(json.dumps(image.reasons), "what stands against an image"),
        "in_review": image.in_review,
        "vector": image.vector.tolist(),
    }
