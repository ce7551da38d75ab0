"""How large an encoded image says it is, before any memory is spent on it."""

import re
import struct

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_JPEG_SCAN = 0xDA
_PNM = re.compile(rb"P[1-6](?:\s+|#[^\n]*\n)+(\d{1,9})(?:\s+|#[^\n]*\n)+(\d{1,9})\s")
_LONGEST_PNM_HEADER = 4096
_TIFF_WIDTH, _TIFF_HEIGHT = 256, 257
_TIFF_NUMBERS = {3: "H", 4: "I"}


def stated_pixels(encoded: bytes) -> int | None:
    """The number of pixels that a JPEG, PNG, WebP, BMP, PNM, GIF or TIFF file says it has; None of other kinds, and
    where it does not say."""
    try:
        sides = _sides(encoded)
    except struct.error:  # it ends before
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
    if encoded.startswith((b"II*\0", b"MM\0*")):
        return _tiff(encoded)
    found = _PNM.match(encoded[:_LONGEST_PNM_HEADER])
    return None if found is None else (int(found[1]), int(found[2]))


def _jpeg(encoded: bytes) -> tuple[int, ...] | None:
    """From marker to marker, as libjpeg goes, to the frame."""
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
    order = "<" if encoded.startswith(b"II") else ">"
    start = struct.unpack_from(f"{order}I", encoded, 4)[0]
    count = struct.unpack_from(f"{order}H", encoded, start)[0]
    sides: dict[int, int] = {}
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", encoded, entry)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT) and kind in _TIFF_NUMBERS:
            sides[tag] = struct.unpack_from(f"{order}{_TIFF_NUMBERS[kind]}", encoded, entry + 8)[0]
    return tuple(sides.values()) if len(sides) == 2 else None
