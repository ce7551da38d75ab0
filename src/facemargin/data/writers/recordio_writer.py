"""Writes InsightFace training sets: train.rec, train.idx and property, as MXNet reads them."""

import struct
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.identity_names import write_identity_names
from facemargin.data.formats.record_file import FIRST, LAST, LENGTH_BITS, MAGIC, MIDDLE, PART_HEADER, WHOLE
from facemargin.data.images.decode import decode_image
from facemargin.data.writers.append_file import AppendFile
from facemargin.data.writers.base import ImageWriter, register_writer
from facemargin.errors import DataError

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_HEADER = struct.Struct("<IfQQ")
_PAIR = struct.Struct("<ff")


@register_writer("recordio", "train.rec, train.idx and property")
class RecordIOWriter(ImageWriter):
    """Grouped images get the keys 1..n and identity records. Other images get the older layout: keys from 0, without
    identity records.

    The record of key 0 is written last, as in InsightFace's own script, because n is only known then.
    """

    groups_people = True

    def _resume(self, state: dict[str, Any]) -> None:
        self._records = AppendFile(self.folder / "train.rec", state.get("records", 0))
        self._index = AppendFile(self.folder / "train.idx", state.get("index", 0))

    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        if number == 0:
            height, width = decode_image(encoded, "the first image").shape[:2]
            (self.folder / "property").write_text(f"{len(self.identity_names)},{height},{width}", encoding="ascii")
        key = number + self.grouped
        self._write(key, _HEADER.pack(0, label, key, 0) + encoded)

    def commit(self) -> tuple[int | None, dict[str, Any]]:
        self._records.sync()
        self._index.sync()
        return None, {"records": self._records.size, "index": self._index.size}

    def finish(self, labels_N: NDArray[np.int64]) -> None:
        if self.grouped:
            end = len(labels_N) + 1
            people = range(len(self.identity_names))
            for person in people:
                first, last = np.searchsorted(labels_N, [person, person + 1]) + 1
                self._write(end + person, _HEADER.pack(2, 0, end + person, 0) + _PAIR.pack(first, last))
            self._write(0, _HEADER.pack(2, 0, 0, 0) + _PAIR.pack(end, end + len(people)))
        self._records.close()
        self._index.close()
        write_identity_names(self.folder, self.identity_names)

    def _write(self, key: int, payload: bytes) -> None:
        offset = self._records.size
        self._records.write(_record(payload))
        self._index.write(b"%d\t%d\n" % (key, offset))


def _record(payload: bytes) -> bytes:
    """The payload as a record, split at every occurrence of the magic at a multiple of 4."""
    splits = [0]
    at = payload.find(_MAGIC_BYTES)
    while at >= 0:
        if at % 4 == 0:
            splits.append(at)
        at = payload.find(_MAGIC_BYTES, at + (4 if at % 4 == 0 else 1))
    parts = [payload[start + 4 * (start > 0) : end] for start, end in pairwise([*splits, len(payload)])]
    if max(map(len, parts)) >> LENGTH_BITS:
        raise DataError(f"an image of {len(payload)} bytes is too large for RecordIO; convert to another format")
    kinds = [WHOLE] if len(parts) == 1 else [FIRST, *[MIDDLE] * (len(parts) - 2), LAST]
    return b"".join(
        PART_HEADER.pack(MAGIC, kind << LENGTH_BITS | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )
