"""Reads the boxes of the ISO base media format, the container of AVIF, HEIC and JPEG 2000 files: the size of an image
and how it is turned (ISO/IEC 14496-12 and 23008-12)."""

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

_MOST_BOXES = 10_000
_IMAGE_EXTENT = re.compile(rb"ispe\0\0\0\0(.{8})", re.DOTALL)
_VIDEO_SAMPLES = re.compile(rb"(?:av01|hvc1|hev1)\0{6}.{18}(.{4})", re.DOTALL)
_CODESTREAM = b"\xff\x4f\xff\x51"


class Box(NamedTuple):
    """A box of type `kind`, whose content is at `start` to `end`."""

    kind: bytes
    start: int
    end: int


def boxes(encoded: bytes, start: int, end: int) -> Iterator[Box]:
    """Yields the boxes from `start` to `end`, up to the first damaged one."""
    for _ in range(_MOST_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", encoded, start)
        header = 8
        if length == 1 and start + 16 <= end:
            length, header = struct.unpack_from(">Q", encoded, start + 8)[0], 16
        length = end - start if length == 0 else length
        if length < header or start + length > end:
            return
        yield Box(kind, start + header, start + length)
        start += length


def heif_sides(encoded: bytes) -> tuple[int, int] | None:
    """The stored width and height of the largest image in an AVIF or HEIC file, including tiles, thumbnails and frames
    of videos. None if the file does not state it. The whole file is searched, because a decoder might find the values
    anywhere."""
    all_sides = [struct.unpack(">II", match[1]) for match in _IMAGE_EXTENT.finditer(encoded)]
    all_sides += [struct.unpack(">HH", match[1]) for match in _VIDEO_SAMPLES.finditer(encoded)]
    return max(all_sides, key=lambda sides: sides[0] * sides[1], default=None)


def jpeg2000_sides(encoded: bytes) -> tuple[int, int] | None:
    """Width (multiplied by the number of components if there are more than four) and height of a JPEG 2000 image."""
    start = 0 if encoded.startswith(_CODESTREAM) else None
    if start is None:
        places = (box.start for box in boxes(encoded, 0, len(encoded)) if box.kind == b"jp2c")
        start = next(places, None)
    if start is None or encoded[start : start + 4] != _CODESTREAM:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", encoded, start + 8)
    (components,) = struct.unpack_from(">H", encoded, start + 40)
    return max(0, right - left) * max(1, components // 4), max(0, bottom - top)


class Turn(NamedTuple):
    """Quarter turns anticlockwise, or a reflection: 0 swaps top and bottom, 1 left and right."""

    quarters: int = 0
    mirror: int | None = None


def heif_turns(encoded: bytes) -> list[Turn]:
    """The turns that a reader must apply to the primary image, in this order. Empty if there are none, or if they are
    damaged."""
    try:
        return _heif_turns(encoded)
    except (struct.error, IndexError, OverflowError):
        return []


def _heif_turns(encoded: bytes) -> list[Turn]:
    meta = _child(encoded, Box(b"", 0, len(encoded)), b"meta")
    if meta is None:
        return []
    inside = meta._replace(start=meta.start + 4)
    primary, properties = _child(encoded, inside, b"pitm"), _child(encoded, inside, b"iprp")
    if primary is None or properties is None:
        return []
    item = int.from_bytes(encoded[primary.start + 4 : primary.start + (6 if encoded[primary.start] == 0 else 8)], "big")
    container = _child(encoded, properties, b"ipco")
    known = [] if container is None else list(boxes(encoded, container.start, container.end))
    turns = []
    for box in boxes(encoded, properties.start, properties.end):
        for number in _associated(encoded, box, item) if box.kind == b"ipma" else ():
            item_property = known[number - 1] if number else None
            if item_property is not None and item_property.kind == b"irot":
                turns.append(Turn(quarters=encoded[item_property.start] & 3))
            elif item_property is not None and item_property.kind == b"imir":
                turns.append(Turn(mirror=encoded[item_property.start] & 1))
    return turns


def _child(encoded: bytes, parent: Box, kind: bytes) -> Box | None:
    return next((box for box in boxes(encoded, parent.start, parent.end) if box.kind == kind), None)


def _associated(encoded: bytes, box: Box, item: int) -> Iterator[int]:
    """The numbers of the properties of `item`, counted from 1."""
    version, wide = encoded[box.start], encoded[box.start + 3] & 1
    (count,) = struct.unpack_from(">I", encoded, box.start + 4)
    place = box.start + 8
    for _ in range(min(count, _MOST_BOXES)):
        (property_number,) = struct.unpack_from(">H" if version < 1 else ">I", encoded, place)
        place += 2 if version < 1 else 4
        number, place = encoded[place], place + 1
        for _ in range(number):
            (entry,) = struct.unpack_from(">H" if wide else ">B", encoded, place)
            place += 2 if wide else 1
            if property_number == item:
                yield entry & (0x7FFF if wide else 0x7F)
