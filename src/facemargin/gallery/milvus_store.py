"""A gallery in Milvus: in a file of Milvus Lite, or on a server for more people than one machine holds.

Milvus has no transactions over several rows, and its products are in float32. So what a change writes counts only from
the moment on that one row, with the number of the change, is written (see `milvus_tables`), and candidates are compared
again as every store does. Shapes: N images, D size, P probes, K candidates.
"""

import contextlib
import hashlib
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import ConfigError, DataError
from facemargin.gallery.binding import Binding
from facemargin.gallery.exact_search import exact_score, rounding_slack
from facemargin.gallery.folder_rows import storable
from facemargin.gallery.milvus_check import check_milvus
from facemargin.gallery.milvus_place import MilvusPlace, enter_file, leave_file
from facemargin.gallery.milvus_rows import (
    IMAGE_FIELDS,
    MilvusState,
    checked,
    image_of,
    in_pages,
    name_digest,
    vector_of,
)
from facemargin.gallery.milvus_tables import MOST_FOUND, Kind, MilvusTables, alive, among
from facemargin.gallery.milvus_writer import MilvusWriter
from facemargin.gallery.store import Candidates, EnrolledImage, EnrolledPerson, NewImage, Store

_PROBES = 16
Found = TypeVar("Found")
_PAGE = 1000


class MilvusStore(Store):
    """The gallery at `place`. DataError if there is none, or nobody answers; OutputError if another process has the
    file open."""

    def __init__(self, place: MilvusPlace) -> None:
        self.place, self.name = place, str(place)
        self._lock = threading.RLock()
        if place.is_file and not place.path.exists():
            raise DataError(f"{place} is no gallery: there is no {place.path}; facemargin gallery create makes one")
        self._stack = contextlib.ExitStack()
        with self._opening() as stack:
            self._write_lock = _enter(place, stack)
            self._tables = MilvusTables(place)
            stack.callback(self._tables.close)
            if not self._tables.exists():
                raise DataError(f"{place} is no gallery: facemargin gallery create makes one")
            self._tables.load()
            self.binding = MilvusState.read(self._tables).binding(self._tables)
            self._tables.size = self.binding.size
        self._writer: MilvusWriter | None = None
        self._digest: tuple[int, str] | None = None

    @classmethod
    def create(cls, place: MilvusPlace, binding: Binding) -> "MilvusStore":
        """A gallery without people. ConfigError if one is there already, OutputError if it cannot be written."""
        if place.is_file and place.path.exists():
            raise ConfigError(f"{place} exists already: give a new file, or enrol into the gallery that is there")
        with contextlib.ExitStack() as stack:
            if place.is_file:
                place.path.parent.mkdir(parents=True, exist_ok=True)
            _enter(place, stack)
            tables = MilvusTables(place, binding.size)
            stack.callback(tables.close)
            if tables.exists() and tables.count("about", "row == 0"):
                raise ConfigError(f"{place} exists already: give another name, or enrol into the gallery that is there")
            tables.create()
            tables.insert("about", [MilvusState(binding.to_json(), 0, 1, 1, 1).row()])
            return cls(place)

    @contextmanager
    def _opening(self) -> Iterator[contextlib.ExitStack]:
        """What was opened is closed again if something fails, else with the store."""
        with contextlib.ExitStack() as stack:
            yield stack
            self._stack = stack.pop_all()

    @contextmanager
    def writing(self, doing: str) -> Iterator[MilvusWriter]:
        with self._write_lock:
            if self._writer is not None:
                yield self._writer
                return
            with MilvusWriter(self._tables, self.binding, doing) as self._writer:
                try:
                    yield self._writer
                finally:
                    self._writer = None

    def add(self, images: Mapping[str, Sequence[NewImage]]) -> None:
        with self.writing("enrolling") as writer:
            writer.add(images)

    def remove_people(self, names: Sequence[str]) -> int:
        with self.writing("removing") as writer:
            return writer.remove_people(names)

    def remove_images(self, numbers: Sequence[int]) -> int:
        with self.writing("removing") as writer:
            return writer.remove_images(numbers)

    def accept(self, numbers: Sequence[int]) -> None:
        with self.writing("accepting") as writer:
            writer.accept(numbers)

    def move_images(self, numbers: Sequence[int], person: str) -> None:
        with self.writing("moving") as writer:
            writer.move_images(numbers, person)

    def people(self, after: int = 0) -> Iterator[EnrolledPerson]:
        last = MilvusState.read(self._tables).next_person
        for start in range(after + 1, last, _PAGE):
            within = f"person >= {start} and person < {start + _PAGE}"
            people, images = self._unchanged(partial(self._people_and_images, within))
            of_person: dict[int, list[Any]] = defaultdict(list)
            for image in images:
                of_person[image["person"]].append(image)
            for person in people:
                every = of_person[person["person"]]
                counting = [image["quality"] for image in every if not image["in_review"]]
                mean = float(np.mean(counting)) if counting else float("nan")
                waiting = len(every) - len(counting)
                yield EnrolledPerson(person["person"], person["name"], len(counting), waiting, mean, person["enrolled"])

    def images(self, person: str | None = None, *, in_review: bool = False, after: int = 0) -> Iterator[EnrolledImage]:
        if person is not None:
            number = self._person(person)
            pages = [f"person == {number} and number > {after}"]
        elif in_review:  # few, of many
            pages = [f"number > {after}"]
        else:
            last = MilvusState.read(self._tables).next_image
            pages = [f"number >= {start} and number < {start + _PAGE}" for start in range(after + 1, last, _PAGE)]
        for page in pages:
            rows = self._alive("images", f"{page}{' and in_review == true' * in_review}", IMAGE_FIELDS)
            rows.sort(key=lambda row: row["number"])
            names = self._names([row["person"] for row in rows])
            yield from (image_of(row, names[row["person"]], self._tables) for row in rows if row["person"] in names)

    def vectors(self, numbers: Sequence[int]) -> NDArray[np.float32]:
        found: dict[int, NDArray[np.float32]] = {}
        for page in in_pages(list(dict.fromkeys(numbers))):
            where = among("number", page)
            rows = self._alive("images", where, ("number", "vector"))
            found |= {row["number"]: vector_of(row, self._tables) for row in rows}
        missing = [number for number in numbers if number not in found]
        if missing:
            raise DataError(f"{self.name} has no image {missing[0]}: facemargin gallery list --person NAME")
        return np.array([found[number] for number in numbers], np.float32).reshape(-1, self.binding.size)

    def person_numbers(self, names: Sequence[str]) -> list[int | None]:
        stored = [storable(name) for name in names]
        digests = {name: name_digest(name) for name in stored}
        found: dict[str, int] = {}
        for page in in_pages(list(dict.fromkeys(digests.values()))):
            where = among("name_digest", page)
            rows = self._alive("people", where, ("person", "name"))
            found |= {row["name"]: row["person"] for row in rows}
        return [found.get(name) for name in stored]

    def person_names(self, numbers: Sequence[int]) -> list[str]:
        names = self._names(numbers)
        missing = [number for number in numbers if number not in names]
        if missing:
            raise DataError(f"{self.name} has no person {missing[0]}: the gallery has changed meanwhile; ask again")
        return [names[number] for number in numbers]

    def search(self, probes_PD: NDArray[np.float32], candidates: int) -> Candidates:
        people_PK = np.full((len(probes_PD), candidates), -1, np.int64)
        scores_PK = np.full((len(probes_PD), candidates), np.nan)
        for start in range(0, len(probes_PD), _PROBES):
            block = np.ascontiguousarray(probes_PD[start : start + _PROBES], np.float32)
            found = self._unchanged(partial(self._search, block, candidates))
            for place, best in enumerate(found, start):
                for rank, (person, score) in enumerate(best):
                    people_PK[place, rank], scores_PK[place, rank] = person, score
        return Candidates(people_PK, scores_PK)

    def counts(self) -> tuple[int, int, int]:
        state = MilvusState.read(self._tables)
        return state.people, state.images, state.in_review

    def state(self) -> str:
        changes = MilvusState.read(self._tables).changes
        with self._lock:
            if self._digest is not None and self._digest[0] == changes:
                return self._digest[1]
        rows = self._alive("people", "has_template == true", ("name", "crc"))
        digest = hashlib.blake2b(digest_size=8)
        for row in sorted(rows, key=lambda row: row["name"]):
            digest.update(f"{len(row['name'])} {row['name']} {row['crc']}\n".encode())
        with self._lock:
            self._digest = changes, digest.hexdigest()
        return digest.hexdigest()

    def check(self, progress: Callable[[int, int], None] | None = None) -> list[str]:
        return self._unchanged(lambda _: check_milvus(self._tables, MilvusState.read(self._tables), progress))

    def close(self) -> None:
        self._stack.close()

    def _unchanged(self, read: Callable[[int], Found]) -> Found:
        """What `read` finds at the present change, once the gallery has not changed meanwhile: rows that died are
        deleted by and by."""
        while True:
            now = MilvusState.read(self._tables).changes
            found = read(now)
            if MilvusState.read(self._tables).changes == now:
                return found

    def _alive(self, kind: Kind, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        return self._unchanged(lambda now: self._rows(kind, f"{where} and {alive(now)}", fields))

    def _rows(self, kind: Kind, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        return [checked(row, self._tables) for row in self._tables.rows(kind, where, fields)]

    def _people_and_images(self, within: str, now: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        people = self._rows("people", f"{within} and {alive(now)}", ("person", "name", "enrolled"))
        images = self._rows("images", f"{within} and {alive(now)}", ("number", "person", "quality", "in_review"))
        return sorted(people, key=lambda row: row["person"]), sorted(images, key=lambda row: row["number"])

    def _person(self, name: str) -> int:
        (number,) = self.person_numbers([name])
        if number is None:
            raise DataError(f"nobody is enrolled as {name!r} in {self.name}: facemargin gallery list shows who is")
        return number

    def _names(self, numbers: Sequence[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        for page in in_pages(list(dict.fromkeys(numbers))):
            where = among("person", page)
            rows = self._alive("people", where, ("person", "name"))
            found |= {row["person"]: row["name"] for row in rows}
        return found

    def _search(self, probes_PD: NDArray[np.float32], candidates: int, now: int) -> list[list[tuple[int, float]]]:
        """For each probe people and scores. Milvus only chooses who is compared: more than are asked for, so that
        nobody is passed over whose product in float32 may be off."""
        where, limit = f"has_template == true and {alive(now)}", min(candidates + 16, MOST_FOUND)
        slack = rounding_slack(probes_PD.shape[1])
        answers: list[list[tuple[int, float]]] = []
        while len(answers) < len(probes_PD):
            rest = probes_PD[len(answers) :]
            for probe, hits in zip(rest, self._tables.search(rest, limit, where, ("person", "vector")), strict=True):
                enough = len(hits) < limit or hits[-1]["distance"] < hits[candidates - 1]["distance"] - slack
                if not enough and limit < MOST_FOUND:
                    limit = min(4 * limit, MOST_FOUND)
                    break
                if not enough:
                    raise DataError(
                        f"{self.name}: more than {limit:,} people have the same score up to rounding, which Milvus "
                        "does not return at once; keep this gallery in a folder"
                    )
                scored = [(hit["person"], exact_score(vector_of(hit, self._tables), probe)) for hit in hits]
                answers.append(sorted(scored, key=lambda pair: (-pair[1], pair[0]))[:candidates])
        return answers


def _enter(place: MilvusPlace, stack: contextlib.ExitStack) -> threading.RLock:
    if not place.is_file:
        return threading.RLock()
    lock = enter_file(place.path)
    stack.callback(leave_file, place.path)
    return lock
