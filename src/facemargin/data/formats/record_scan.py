"""Finds the records of a .rec file without its .idx, by going from one record to the next."""

import logging
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.record_file import FIRST, LENGTH_BITS, MAGIC, PART_HEADER, WHOLE, RecordFile
from facemargin.errors import DataError
from facemargin.files.saved_scan import saved_scan

_MAGIC_BYTES = struct.pack("<I", MAGIC)
_ID = struct.Struct("<Q")
_ID_START = 8
_CHUNKS = (1 << 12, 1 << 20)

logger = logging.getLogger(__name__)


def scanned_index(file: RecordFile) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys, ascending, and byte offsets of the records in `file`, as in its .idx.

    A key is the id in the header of the record, or, if ids occur twice, the number of the record. Damaged parts are
    skipped and counted in a logged warning. The result is saved (see saved_scan). Raises DataError for a file without
    records.
    """

    def is_valid(content: dict[str, Any]) -> bool:
        columns = content.get("keys"), content.get("offsets")
        if not all(isinstance(column, list) for column in columns) or type(content.get("damaged")) is not int:
            return False
        keys, offsets = columns
        return (
            len(keys) == len(offsets) > 0  # type: ignore[arg-type]
            and all(type(key) is int and 0 <= key < 2**63 for key in keys)  # type: ignore[union-attr]
            and all(type(offset) is int and 0 <= offset < file.size for offset in offsets)  # type: ignore[union-attr]
            and len(set(keys)) == len(keys)  # type: ignore[arg-type]
        )

    scan = saved_scan(file.path, lambda: _scan(file), is_valid)
    if scan["damaged"]:
        logger.warning("%s: %d damaged or truncated parts are left out", file.path, scan["damaged"])
    keys, offsets = np.array([scan["keys"], scan["offsets"]], dtype=np.int64)
    order = np.argsort(keys)
    return keys[order], offsets[order]


def _scan(file: RecordFile) -> dict[str, Any]:
    offsets: list[int] = []
    ids: list[int] = []
    offset, damaged, in_damage = 0, 0, False
    while offset < file.size:
        start = file.read(offset, PART_HEADER.size + _ID_START + _ID.size)
        magic, part_and_length = PART_HEADER.unpack_from(start) if len(start) >= PART_HEADER.size else (0, 0)
        length = part_and_length & ((1 << LENGTH_BITS) - 1)
        end = offset + PART_HEADER.size + length
        if magic != MAGIC or end > file.size:
            damaged += not in_damage
            in_damage = True
            offset = _next_magic(file, offset + 4)
            continue
        in_damage = False
        if part_and_length >> LENGTH_BITS in (WHOLE, FIRST):
            offsets.append(offset)
            has_id = len(start) == PART_HEADER.size + _ID_START + _ID.size
            ids.append(_ID.unpack_from(start, PART_HEADER.size + _ID_START)[0] if has_id else 0)
        offset = end + -length % 4
    if not offsets:
        raise DataError(f"{file.path} holds no RecordIO record")
    keys = ids if len(set(ids)) == len(ids) and max(ids) < 2**63 else list(range(len(ids)))
    return {"keys": keys, "offsets": offsets, "damaged": damaged}


def _next_magic(file: RecordFile, offset: int) -> int:
    """The next position at which a record part may begin. Inside a payload, the magic is never at a multiple of 4."""
    size = _CHUNKS[0]
    while offset < file.size:
        chunk = file.read(offset, size)
        position = chunk.find(_MAGIC_BYTES)
        while position > 0 and position % 4:
            position = chunk.find(_MAGIC_BYTES, position + 1)
        if position >= 0:
            return offset + position
        offset, size = offset + len(chunk), _CHUNKS[1]
    return file.size
