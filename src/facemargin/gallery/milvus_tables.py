"""The three collections of a gallery in Milvus, and calls whose errors say what to do.

Rows are never changed: each has the number of the change with which it was `born` and `died`, and those count that are
born and have not died at the gallery's present change, which is one number in one row. Shapes: P probes, D size.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import ConfigError, DataError, OutputError
from facemargin.extras import require_extra
from facemargin.gallery.milvus_place import MilvusPlace, note_file, require_same_file, token

Kind = Literal["images", "people", "about"]
ALIVE = 2**62
LONGEST_TEXT = 65_535
"""Bytes of a text that Milvus takes."""
MOST_FOUND = 16_384
"""Rows that Milvus finds in one search."""
_AT_A_TIME = 1000
_SECONDS = 60.0

_FIELDS: dict[Kind, dict[str, str]] = {
    "images": {
        "row": "INT64", "number": "INT64", "person": "INT64", "born": "INT64", "died": "INT64", "crc": "INT64",
        "norm": "DOUBLE", "quality": "DOUBLE", "source": "VARCHAR", "digest": "INT64", "consent": "VARCHAR",
        "enrolled": "VARCHAR", "reasons": "VARCHAR", "in_review": "BOOL", "vector": "FLOAT_VECTOR",
    },
    "people": {
        "row": "INT64", "person": "INT64", "name": "VARCHAR", "name_digest": "INT64", "born": "INT64", "died": "INT64",
        "crc": "INT64", "has_template": "BOOL", "enrolled": "VARCHAR", "vector": "FLOAT_VECTOR",
    },
    "about": {
        "row": "INT64", "content": "VARCHAR", "changes": "INT64", "next_row": "INT64", "next_image": "INT64",
        "next_person": "INT64", "people": "INT64", "images": "INT64", "in_review": "INT64", "vector": "FLOAT_VECTOR",
    },
}  # fmt: skip
_INDEXED = ("number", "person", "name_digest")


class MilvusTables:
    """The collections at `place`, of vectors of so many values; 2 in the one that has none, where Milvus wants some."""

    def __init__(self, place: MilvusPlace, size: int = 2) -> None:
        """DataError if nobody answers there."""
        require_extra("milvus", "pymilvus", what=f"the gallery {place}")
        from pymilvus import MilvusClient

        self.place, self.size = place, size
        with _quiet(), self.reading():
            self._client = MilvusClient(place.uri, token=token(), timeout=10)

    def exists(self) -> bool:
        """Whether all collections are there."""
        with self.reading():
            return all(self._client.has_collection(self._name(kind)) for kind in _FIELDS)

    def create(self) -> None:
        """Make the collections anew; what a killed process left of them is dropped."""
        with self.writing():
            for kind in _FIELDS:
                self._client.drop_collection(self._name(kind))
                self._create(kind)
        note_file(self.place)

    def load(self) -> None:
        """DataError if the collections are not those of a gallery."""
        with self.reading():
            for kind, fields in _FIELDS.items():
                found = self._client.describe_collection(self._name(kind))
                names = [one["name"] for one in found["fields"]]
                if names != list(fields):
                    raise DataError(
                        f"{self.place}: the collection {self._name(kind)} has the fields {', '.join(names)}, expected "
                        f"those of a gallery of this version of facemargin, {', '.join(fields)}"
                    )
                self._client.load_collection(self._name(kind))
        note_file(self.place)

    def rows(self, kind: Kind, where: str, fields: Sequence[str], paged: bool = False) -> Iterator[dict[str, Any]]:
        """The rows that a condition holds for, in no order. `paged`: read some at a time, not all at once if they are
        few enough for that."""
        found = [] if paged else self._query(kind, where, fields)
        if not paged and len(found) < MOST_FOUND:
            yield from found
            return
        ends = [row["next_row"] for row in self._query("about", "row == 0", ["next_row"])]
        for start in range(0, max(ends, default=0), _AT_A_TIME):
            yield from self._query(kind, f"row >= {start} and row < {start + _AT_A_TIME} and ({where})", fields)

    def some(self, kind: Kind, where: str, fields: Sequence[str]) -> list[dict[str, Any]]:
        """At most 1,000 of the rows that a condition holds for."""
        return self._query(kind, where, fields, _AT_A_TIME)

    def _query(self, kind: Kind, where: str, fields: Sequence[str], limit: int = MOST_FOUND) -> list[dict[str, Any]]:
        with self.reading():
            found = self._client.query(
                self._name(kind), filter=where, output_fields=list(fields), limit=limit, timeout=_SECONDS
            )
        return [dict(row) for row in found]

    def count(self, kind: Kind, where: str) -> int:
        with self.reading():
            (found,) = self._client.query(self._name(kind), filter=where, output_fields=["count(*)"], timeout=_SECONDS)
        return int(found["count(*)"])

    def search(
        self, probes_PD: NDArray[np.float32], limit: int, where: str, fields: Sequence[str]
    ) -> list[list[dict[str, Any]]]:
        """For each probe the templates of the largest products, best first."""
        with self.reading():
            found = self._client.search(
                self._name("people"), data=list(probes_PD), filter=where, limit=limit, output_fields=list(fields),
                anns_field="vector", search_params={"metric_type": "IP"}, timeout=_SECONDS,
            )  # fmt: skip
        return [[dict(hit["entity"]) | {"distance": hit["distance"]} for hit in hits] for hits in found]

    def insert(self, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put rows there, in place of those with the same number."""
        with self.writing():
            for start in range(0, len(rows), _AT_A_TIME):
                part = [dict(row) for row in rows[start : start + _AT_A_TIME]]
                self._client.upsert(self._name(kind), part, timeout=_SECONDS)

    def delete(self, kind: Kind, rows: Sequence[int]) -> None:
        with self.writing():
            for start in range(0, len(rows), _AT_A_TIME):
                self._client.delete(self._name(kind), ids=list(rows[start : start + _AT_A_TIME]), timeout=_SECONDS)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        require_same_file(self.place)
        with _translated(DataError, f"{self.place} cannot be read", "is it running, and is it the right one?"):
            yield

    @contextmanager
    def writing(self) -> Iterator[None]:
        require_same_file(self.place)
        with _translated(OutputError, f"{self.place} cannot be written", "nothing has changed"):
            yield

    def _name(self, kind: Kind) -> str:
        return f"facemargin_{self.place.name}_{kind}"

    def _create(self, kind: Kind) -> None:
        from pymilvus import DataType

        size = 2 if kind == "about" else self.size
        schema = self._client.create_schema(auto_id=False, enable_dynamic_field=False)
        index = self._client.prepare_index_params()
        for name, dtype in _FIELDS[kind].items():
            more = {"VARCHAR": {"max_length": LONGEST_TEXT}, "FLOAT_VECTOR": {"dim": size}}.get(dtype, {})
            schema.add_field(name, getattr(DataType, dtype), is_primary=name == "row", **more)
            if name in _INDEXED:
                index.add_index(name, index_type="INVERTED")
        # flat: every row is compared, none is passed over
        index.add_index("vector", index_type="FLAT", metric_type="IP")
        name = self._name(kind)
        self._client.create_collection(name, schema=schema, consistency_level="Strong", timeout=_SECONDS)
        self._client.create_index(name, index, timeout=_SECONDS, sync=False)  # there is nothing yet to wait for
        self._client.load_collection(name, timeout=_SECONDS)


def alive(change: int) -> str:
    """The condition of rows that count at this change."""
    return f"born <= {int(change)} and died > {int(change)}"


def among(field: str, numbers: Sequence[int]) -> str:
    """The condition that a field is one of these numbers."""
    return f"{field} in {[int(number) for number in numbers]}"


@contextmanager
def _translated(kind: type[DataError] | type[OutputError], what: str, then: str) -> Iterator[None]:
    from grpc import RpcError
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, RpcError) as error:
        text = str(getattr(error, "message", error)).strip().splitlines()
        if "Open local milvus failed" in str(error):
            raise OutputError(
                f"{what}: another process has it open, and Milvus Lite lets one process at a time have a file, even to "
                "read; wait until it is done, or run a server, or keep the gallery in a folder"
            ) from error
        raise kind(f"{what}: {text[0] if text else type(error).__name__}; {then}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Milvus Lite logs a traceback where a file is in use, which is said in words."""
    logger = logging.getLogger("milvus_lite")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def require_text(text: str, what: str) -> str:
    """ConfigError if it is longer than Milvus takes."""
    if len(text.encode()) > LONGEST_TEXT:
        raise ConfigError(f"{what} has {len(text.encode()):,} bytes, expected at most {LONGEST_TEXT:,} in Milvus")
    return text
