"""Reads the size that an encoded image states, before memory is allocated for it."""

import re
import struct

from facemargin.data.images.av1_size import av1_sides
from facemargin.data.images.iso_boxes import heif_sides, jpeg2000_sides
from facemargin.data.images.kind import image_suffix

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_SCAN = 0xDA
_PNM = re.compile(rb"P[1-6](?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})\s")
_LONGEST_PNM_HEADER = 4096
_TIFF_NUMBERS = {3: "H", 4: "I", 16: "Q"}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_SAMPLES, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 277, 322, 323
_MOST_TIFF_ENTRIES = 1000


def stated_pixels(encoded: bytes) -> int | None:
    """The number of pixels that a file of a known format (`image_suffix`) states, or the number that a decoder has to
    hold if that is larger. None for other formats, and if the file does not state it."""
    try:
        sides = _sides(encoded)
    except (struct.error, OverflowError):  # the file ends too early, or states an invalid position
        return None
    return None if sides is None else abs(sides[0] * sides[1])


def _sides(encoded: bytes) -> tuple[int, ...] | None:
    if encoded.startswith(b"\xff\xd8"):
        return _jpeg(encoded)
    if encoded.startswith(b"\x89PNG"):
        return struct.unpack_from(">II", encoded, 16)
    if encoded.startswith(b"RIFF"):
        return _webp(encoded)
    if encoded.startswith(b"BM"):
        is_old = struct.unpack_from("<I", encoded, 14)[0] < 36
        return struct.unpack_from("<hh" if is_old else "<ii", encoded, 18)
    if encoded.startswith(b"GIF8"):
        return struct.unpack_from("<HH", encoded, 6)
    match image_suffix(encoded):
        case ".tif":
            return _tiff(encoded)
        case ".jp2":
            return jpeg2000_sides(encoded)
        case ".avif":
            sides = [*av1_sides(encoded), *filter(None, [heif_sides(encoded)])]
            return max(sides, key=lambda side: side[0] * side[1], default=None)
        case ".heic":
            return heif_sides(encoded)
    match = _PNM.match(encoded[:_LONGEST_PNM_HEADER])
    return None if match is None else (int(match[1]), int(match[2]))


def _jpeg(encoded: bytes) -> tuple[int, ...] | None:
    """Go from marker to marker, as libjpeg does, to the frame header."""
    place = 2
    while (place := encoded.find(b"\xff", place)) >= 0:
        marker, length = struct.unpack_from(">BH", encoded, place + 1)
        if marker in _JPEG_FRAMES:
            return struct.unpack_from(">HH", encoded, place + 5)
        if marker == _JPEG_SCAN:
            return None
        place += 1 if marker == 0xFF else 2 if marker in _JPEG_ALONE or marker == 0 else 2 + max(length, 2)
    return None


def _webp(encoded: bytes) -> tuple[int, ...] | None:
    kind = encoded[12:16]
    if kind == b"VP8 ":
        return tuple(side & 0x3FFF for side in struct.unpack_from("<HH", encoded, 26))
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", encoded, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8X":
        return 1 + int.from_bytes(encoded[24:27], "little"), 1 + int.from_bytes(encoded[27:30], "little")
    return None


def _tiff(encoded: bytes) -> tuple[int, ...] | None:
    """The size of the first image, or of its tile if that is larger, multiplied by the samples per pixel if these are
    more than four."""
    tags = _tiff_tags(encoded)
    if _TIFF_WIDTH not in tags or _TIFF_HEIGHT not in tags:
        return None
    tile = tags.get(_TIFF_TILE_WIDTH, 0), tags.get(_TIFF_TILE_HEIGHT, 0)
    width, height = max((tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT]), tile, key=lambda sides: sides[0] * sides[1])
    return width * max(1, tags.get(_TIFF_SAMPLES, 1) // 4), height


def _tiff_tags(encoded: bytes) -> dict[int, int]:
    """The first value of every numeric tag in the first directory."""
    order = "<" if encoded.startswith(b"II") else ">"
    is_big = encoded[2:4] in (b"+\0", b"\0+")
    start = struct.unpack_from(f"{order}Q", encoded, 8)[0] if is_big else struct.unpack_from(f"{order}I", encoded, 4)[0]
    (count,) = struct.unpack_from(f"{order}{'Q' if is_big else 'H'}", encoded, start)
    first, step, value = (start + 8, 20, 12) if is_big else (start + 2, 12, 8)
    tags: dict[int, int] = {}
    for number in range(min(count, _MOST_TIFF_ENTRIES)):
        tag, kind = struct.unpack_from(f"{order}HH", encoded, first + step * number)
        if kind in _TIFF_NUMBERS:
            tags[tag] = struct.unpack_from(f"{order}{_TIFF_NUMBERS[kind]}", encoded, first + step * number + value)[0]
    return tags
