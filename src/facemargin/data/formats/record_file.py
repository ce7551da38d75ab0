"""RecordIO, the container MXNet stores data sets in: numbered records in one .rec file, their offsets in an .idx file.

A record consists of a uint32 magic, a uint32 whose top 3 bits say which part of a record this is and whose low 29 bits
are the length of the payload, the payload, and zeros up to a multiple of 4. All numbers are little-endian. A payload
that contains the magic at a multiple of 4 is split there: joining the parts puts the magic back between them.
"""

import io
import logging
import struct
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.images.decode import LARGEST_ENCODED
from facemargin.errors import CorruptImageError, DataError
from facemargin.files.positioned_file import PositionedFile

MAGIC = 0xCED7230A
WHOLE, FIRST, MIDDLE, LAST = range(4)
PART_HEADER = struct.Struct("<II")
LENGTH_BITS = 29
_PLAIN = b"0123456789- \t\r\n"

logger = logging.getLogger(__name__)


class RecordFile(PositionedFile):
    """Reads records of a .rec file by byte offset."""

    def payload(self, offset: int, where: str) -> bytes:
        """The whole record at `offset`, with its parts joined. Raises CorruptImageError, which names `where`."""
        part, start, length = self._part_header(offset, where)
        _require_image_size(length, where)
        if part == WHOLE:
            return self.read(start, length)
        if part != FIRST:
            raise CorruptImageError(f"{where}: starts with part {part} of a split record, expected 0 or 1")
        parts = [self.read(start, length)]
        total = length
        while part != LAST:
            part, start, length = self._part_header(start + length + -length % 4, where)
            if part not in (MIDDLE, LAST):
                raise CorruptImageError(f"{where}: a split record continues with part {part}, expected 2 or 3")
            total += length
            _require_image_size(total, where)
            parts.append(self.read(start, length))
        return struct.pack("<I", MAGIC).join(parts)

    def is_start(self, offset: int) -> bool:
        """Whether a record, or the first part of one, begins at `offset`."""
        try:
            return self._part_header(offset, "")[0] in (WHOLE, FIRST)
        except CorruptImageError:
            return False

    def end(self, offset: int) -> int:
        """The offset at which the record at `offset` ends and the next begins. Raises CorruptImageError."""
        part = FIRST
        while part in (FIRST, MIDDLE):
            part, start, length = self._part_header(offset, str(self.path))
            offset = start + length + -length % 4
        return offset

    def payload_start(self, offset: int, max_length: int, where: str) -> bytes:
        """Up to `max_length` bytes of the payload, from its first part only. Raises CorruptImageError."""
        _, start, length = self._part_header(offset, where)
        return self.read(start, min(length, max_length))

    def _part_header(self, offset: int, where: str) -> tuple[int, int, int]:
        """(part, payload start, payload length) of the record part at `offset`."""
        header = self.read(offset, PART_HEADER.size)
        if len(header) < PART_HEADER.size:
            raise CorruptImageError(f"{where}: the file ends inside the record ({self.size} bytes)")
        magic, part_and_length = PART_HEADER.unpack(header)
        if magic != MAGIC:
            raise CorruptImageError(f"{where}: found {magic:#010x} instead of RecordIO's {MAGIC:#010x}")
        part, length = part_and_length >> LENGTH_BITS, part_and_length & ((1 << LENGTH_BITS) - 1)
        start = offset + PART_HEADER.size
        if start + length > self.size:
            raise CorruptImageError(
                f"{where}: the record should have {length} bytes, but the file ends after {self.size - start} of them"
            )
        return part, start, length


def _require_image_size(size: int, where: str) -> None:
    if size > LARGEST_ENCODED:
        raise CorruptImageError(f"{where}: the record has {size:,} bytes or more, too many for an image")


def read_index(path: Path, file_size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read keys, ascending, and their byte offsets from an .idx file with lines `key<TAB>offset` in any order.

    Records beyond the `file_size` bytes of the .rec file are left out with a logged warning. Raises DataError if no
    record is left, and for any other line.
    """
    try:
        text = path.read_bytes()
        if other := text.translate(None, _PLAIN):  # numpy would read 1e5 as a whole number
            raise ValueError(f"found {other[:20].decode(errors='replace')!r}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy's warning for an empty file
            lines = np.loadtxt(io.BytesIO(text), dtype=np.int64, comments=None, ndmin=2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    except (ValueError, OverflowError) as error:
        raise DataError(f"{path}: expected lines `key<TAB>offset` of whole numbers: {error}") from error
    if len(lines) == 0 or lines.shape[1] != 2:
        raise DataError(
            f"{path}: expected lines `key<TAB>offset`, found {counted(lines.shape[0], 'line')} of {lines.shape[1]}"
        )
    keys, offsets = lines.T
    keys, first_use, uses = np.unique(keys, return_index=True, return_counts=True)
    if uses.max() > 1:
        raise DataError(
            f"{path}: key {keys[uses.argmax()]} occurs {uses.max()} times, expected once. Delete this file; "
            f"without it, the records are found by reading through {path.with_suffix('.rec').name}"
        )
    offsets = offsets[first_use]
    within = (offsets >= 0) & (offsets < file_size)
    if not within.all():
        message = (
            f"{path}: records outside {path.with_suffix('.rec').name}, which has {file_size:,} bytes: "
            f"{len(keys) - within.sum()} of {len(keys)}. That file is truncated, or this index belongs to another "
            "file: copy both again"
        )
        if not within.any():
            raise DataError(message)
        logger.warning("%s. The records before its end are kept: %s", message, counted(int(within.sum()), "record"))
    return keys[within], offsets[within]
