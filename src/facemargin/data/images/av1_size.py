"""The size of the pictures in an AVIF file according to its AV1 streams. A decoder allocates memory by the streams, and
the rest of the file may state another size (AV1 Bitstream & Decoding Process Specification, 5.3 and 5.5; ISO/IEC
14496-12, 8.11.3)."""

import contextlib
import itertools
import re
import struct
from collections.abc import Iterator

from facemargin.data.images.iso_boxes import Box, boxes

_MOST = 1000
_SEQUENCE_HEADER = 1
_CHUNKS = re.compile(rb"(stco|co64)\0\0\0\0")
_LONGEST_HEADER = 128


def av1_sides(encoded: bytes) -> list[tuple[int, int]]:
    """Width and height according to every AV1 stream that can be found in the file."""
    all_sides = []
    for start in _starts(encoded):
        try:
            sides = _stream_sides(encoded, start)
        except (struct.error, IndexError, OverflowError, ValueError):
            continue
        all_sides += [] if sides is None else [sides]
    return all_sides


def _starts(encoded: bytes) -> list[int]:
    """The positions at which the data of items and the chunks of tracks begin."""
    starts: list[int] = []
    for meta in (box for box in boxes(encoded, 0, len(encoded)) if box.kind == b"meta"):
        inside = list(boxes(encoded, meta.start + 4, meta.end))
        data = next((box.start for box in inside if box.kind == b"idat"), 0)
        for box in (box for box in inside if box.kind == b"iloc"):
            with contextlib.suppress(struct.error, IndexError, OverflowError):
                for start in itertools.islice(_items(encoded, box, data), _MOST):
                    starts.append(start)  # read one by one, so that entries before a damaged part count as well
    for match in _CHUNKS.finditer(encoded):
        wide = match[1] == b"co64"
        (count,) = struct.unpack_from(">I", encoded.ljust(match.end() + 4, b"\0"), match.end())
        count = min(count, _MOST, (len(encoded) - match.end() - 4) // (8 if wide else 4))
        starts += struct.unpack_from(f">{max(count, 0)}{'Q' if wide else 'I'}", encoded, match.end() + 4)
    return starts[:_MOST]


def _items(encoded: bytes, box: Box, data: int) -> Iterator[int]:
    """The position of the first extent of each item in an `iloc` box. `data` is the start of items that are stored
    inside `meta`."""
    version = encoded[box.start]
    sizes = encoded[box.start + 4], encoded[box.start + 5]
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version else 0
    place = box.start + 6

    def number(size: int) -> int:
        nonlocal place
        place += size
        return int.from_bytes(encoded[place - size : place], "big")

    for _ in range(number(2 if version < 2 else 4)):
        if place > box.end:
            return
        number(2 if version < 2 else 4)
        inside = version > 0 and number(2) & 15 == 1
        number(2)
        base = number(base_size)
        for extent in range(number(2)):
            if place > box.end:
                return
            number(index_size)
            start = base + number(offset_size) + (data if inside else 0)
            number(length_size)
            if extent == 0:
                yield start


def _stream_sides(encoded: bytes, place: int) -> tuple[int, int] | None:
    """The size in the first sequence header of the stream that begins at `place`."""
    for _ in range(_MOST):
        header = encoded[place]
        place += 2 if header & 4 else 1
        if not header & 2:  # without a stated size, it ends with the file
            length = len(encoded) - place
        else:
            length = shift = 0
            while True:
                byte, place = encoded[place], place + 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80 or shift > 56:
                    break
        if header >> 3 & 15 == _SEQUENCE_HEADER:
            return _sequence_sides(_Bits(encoded[place : place + min(length, _LONGEST_HEADER)]))
        place += length
    return None


class _Bits:
    def __init__(self, content: bytes) -> None:
        self._value, self._left = int.from_bytes(content, "big"), 8 * len(content)

    def read(self, count: int) -> int:
        """The next `count` bits as a number. Raises ValueError at the end."""
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def skip_variable(self) -> None:
        """Skip an unsigned number of variable length."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        self.read(zeros if zeros < 32 else 0)


def _sequence_sides(bits: _Bits) -> tuple[int, int]:
    bits.read(4)  # profile, whether a still picture
    if bits.read(1):  # reduced
        bits.read(5)
    else:
        delay_bits = _skip_timing(bits)
        has_display_delay = bits.read(1)
        for _ in range(bits.read(5) + 1):
            bits.read(12)
            if bits.read(5) > 7:
                bits.read(1)
            if delay_bits and bits.read(1):
                bits.read(2 * delay_bits + 1)
            if has_display_delay and bits.read(1):
                bits.read(4)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_timing(bits: _Bits) -> int:
    """Skip the timing information. Returns the number of bits of a buffer delay, 0 if there is no decoder model."""
    if not bits.read(1):
        return 0
    bits.read(64)
    if bits.read(1):
        bits.skip_variable()
    if not bits.read(1):
        return 0
    delay_bits = bits.read(5) + 1
    bits.read(42)
    return delay_bits
