"""The people, images and the state of a gallery from its rows in Milvus. What they hold is checked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError
from facemargin.gallery.binding import Binding
from facemargin.gallery.milvus_tables import MilvusTables
from facemargin.gallery.store import EnrolledImage
from facemargin.quality.image_statistics import Reason

IMAGE_FIELDS = (
    "number", "person", "norm", "quality", "source", "digest", "consent", "enrolled", "reasons", "in_review"
)  # fmt: skip
_TYPES: dict[str, type] = {
    "row": int, "number": int, "person": int, "born": int, "died": int, "crc": int, "digest": int, "name_digest": int,
    "norm": float, "quality": float, "in_review": bool, "has_template": bool,
}  # fmt: skip


@dataclass(frozen=True)
class MilvusState:
    """The present change, the next numbers that are free, and how many people have images that count, how many images
    count, and how many are in review."""

    content: str
    changes: int
    next_row: int
    next_image: int
    next_person: int
    people: int = 0
    images: int = 0
    in_review: int = 0

    @classmethod
    def read(cls, tables: MilvusTables) -> "MilvusState":
        """DataError if there is no gallery."""
        names = [field.name for field in fields(cls)]
        found = list(tables.rows("about", "row == 0", names))
        if len(found) != 1:
            raise DataError(f"{tables.place} is no gallery: facemargin gallery create makes one")
        values = {name: found[0][name] for name in names}
        if any(type(value) is not int or value < 0 for name, value in values.items() if name != "content"):
            raise DataError(f"{tables.place}: its state is {values!r:.200}, expected counts; restore it from a copy")
        return cls(**values)

    def row(self) -> dict[str, Any]:
        return {"row": 0, **vars(self), "vector": [0.0, 0.0]}

    def binding(self, tables: MilvusTables) -> Binding:
        try:
            return Binding.from_json(self.content)
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{tables.place}, what it is about: {error}; restore it from a copy") from error


def checked(row: Mapping[str, Any], tables: MilvusTables) -> dict[str, Any]:
    """The row; DataError for a value of another type."""
    for name, value in row.items():
        wanted = _TYPES.get(name, list if name == "vector" else str)
        if name not in ("vector", "distance") and type(value) is not wanted:
            raise DataError(
                f"{tables.place}: a row has the {name} {value!r:.60}, expected {wanted.__name__}: it is damaged; "
                "restore it from a copy"
            )
    return dict(row)


def vector_of(row: Mapping[str, Any], tables: MilvusTables) -> NDArray[np.float32]:
    """The vector (D,), as it was given to Milvus, bit for bit."""
    vector = np.array(row["vector"], np.float32)
    if vector.shape != (tables.size,):
        raise DataError(f"{tables.place}: a vector has the shape {vector.shape}, expected ({tables.size},)")
    return vector


def image_of(row: Mapping[str, Any], person: str, tables: MilvusTables) -> EnrolledImage:
    try:
        reasons = tuple(Reason(str(code), str(words)) for code, words in json.loads(row["reasons"]))
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(f"{tables.place}, image {row['number']}: {error}; restore it from a copy") from error
    return EnrolledImage(
        row["number"], person, row["norm"], row["quality"], row["source"], row["digest"], row["consent"],
        row["enrolled"], reasons, row["in_review"],
    )  # fmt: skip


def name_digest(name: str) -> int:
    """What a name is looked for by: no text of anybody becomes part of a condition."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little", signed=True)


def in_pages(numbers: Sequence[int], size: int = 1000) -> list[Sequence[int]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
