"""Detects image files with several pictures, such as the frames of an animation or the pages of a scan."""

import struct

from facemargin.data.images.kind import image_suffix

_PNG_CONTROL = b"acTL"
_GIF_IMAGE, _GIF_EXTENSION = 0x2C, 0x21
_WEBP_ANIMATION = 0x02


def holds_several(encoded: bytes) -> bool:
    """True for an animated GIF, PNG, WebP or AVIF and for a TIFF with several pages. False if this cannot be
    determined."""
    try:
        match image_suffix(encoded):
            case ".gif":
                return _gif_images(encoded) > 1
            case ".png":
                return 0 < encoded.find(_PNG_CONTROL) < encoded.find(b"IDAT")
            case ".webp":
                return encoded[12:16] == b"VP8X" and bool(encoded[20] & _WEBP_ANIMATION)
            case ".tif":
                return _tiff_has_next(encoded)
            case ".avif":
                return encoded[8:12] == b"avis"
    except (struct.error, IndexError, OverflowError):
        pass
    return False


def _gif_images(encoded: bytes) -> int:
    """The number of images in a GIF, counted up to two."""
    place = 13 + _color_table(encoded[10])
    images = 0
    while images < 2 and encoded[place] in (_GIF_IMAGE, _GIF_EXTENSION):
        if encoded[place] == _GIF_IMAGE:
            images += 1
            place += 11 + _color_table(encoded[place + 9])
        else:
            place += 2
        while encoded[place]:
            place += 1 + encoded[place]
        place += 1
    return images


def _color_table(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _tiff_has_next(encoded: bytes) -> bool:
    order = "<" if encoded.startswith(b"II") else ">"
    if encoded[2:4] in (b"+\0", b"\0+"):
        (start,) = struct.unpack_from(f"{order}Q", encoded, 8)
        (count,) = struct.unpack_from(f"{order}Q", encoded, start)
        return bool(struct.unpack_from(f"{order}Q", encoded, start + 8 + 20 * count)[0])
    (start,) = struct.unpack_from(f"{order}I", encoded, 4)
    (count,) = struct.unpack_from(f"{order}H", encoded, start)
    return bool(struct.unpack_from(f"{order}I", encoded, start + 2 + 12 * count)[0])
