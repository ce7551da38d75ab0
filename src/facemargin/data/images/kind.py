"""Detects the format of encoded image bytes by their first bytes, independent of the file name."""

import re

_BEGINNINGS = (
    (re.compile(rb"\xff\xd8\xff"), ".jpg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), ".png"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), ".webp"),
    (re.compile(rb"BM"), ".bmp"),
    (re.compile(rb"P5[\s#]"), ".pgm"),
    (re.compile(rb"P[12346][\s#]"), ".ppm"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), ".tif"),
    (re.compile(rb"GIF8[79]a"), ".gif"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), ".jp2"),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_MOST_BRANDS = 64

COMMON_SUFFIXES = frozenset({".jpg", ".png", ".webp", ".bmp", ".pgm"})
"""Formats that every program of the field reads. Image files that this package writes have one of them."""

KNOWN_KINDS = "JPEG, PNG, WebP, BMP, PNM, TIFF, GIF, JPEG 2000, AVIF, HEIC"


def image_suffix(encoded: bytes) -> str | None:
    """The suffix of a file with this content: one of COMMON_SUFFIXES, or .ppm (any PNM except grey), .tif, .gif, .jp2,
    .avif or .heic. None for other formats, which cannot be read."""
    if encoded[4:8] == b"ftyp":
        return _suffix_by_brand(encoded)
    return next((suffix for beginning, suffix in _BEGINNINGS if beginning.match(encoded)), None)


def _suffix_by_brand(encoded: bytes) -> str | None:
    """AVIF and HEIC use the same container. The brands tell which one it is; the first brand has priority."""
    length = min(int.from_bytes(encoded[:4], "big"), 16 + 4 * _MOST_BRANDS)
    for brand in (encoded[8:12], *(encoded[place : place + 4] for place in range(16, length, 4))):
        if brand in _AVIF_BRANDS:
            return ".avif"
        if brand in _HEIC_BRANDS and not (brand in (b"mif1", b"msf1") and b"avif" in encoded[8:length]):
            return ".heic"
    return None
