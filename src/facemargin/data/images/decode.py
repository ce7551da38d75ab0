"""Decodes image bytes to pixels, and detects corrupt images."""

import logging
import re

import cv2
import numpy as np

from facemargin.data.images.frames import holds_several
from facemargin.data.images.heic import decode_heic
from facemargin.data.images.iso_boxes import heif_turns
from facemargin.data.images.kind import KNOWN_KINDS, image_suffix
from facemargin.data.images.silence import OPENCV_SILENT
from facemargin.data.images.size import stated_pixels
from facemargin.data.source import RGBImage
from facemargin.data.videos.kind import BEGINNING, video_kind
from facemargin.errors import CorruptImageError

LARGEST_ENCODED = 1 << 28
"""The largest size of an image file or record in bytes. A larger one means a damaged length, or a wrong file."""

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

# A photograph has about 10 pixels per byte, and almost no picture has more than 100.
_HARMLESS_PIXELS, _PIXELS_A_BYTE = 1 << 24, 1000
# The decoders of these formats need several times the memory of the pixels.
_HARMLESS_COSTLY_PIXELS, _COSTLY = 1 << 22, frozenset({".avif", ".heic", ".jp2"})
# Progressive JPEGs have about ten scans, each of which covers the whole image. In other data inside or after the JPEG,
# a marker occurs by chance every 65,536 bytes.
_HARMLESS_SCANS, _BYTES_A_SCAN = 100, 4096


# The cost of reading these formats is only known from the size that they state.
_SAY_THEIR_SIZE = frozenset({".tif", ".gif", ".jp2", ".avif", ".heic", ".pgm", ".ppm"})
# 255 and 65535 are what everybody writes; a camera of 10 or 12 bits says 1023 or 4095.
_PNM_WHITE = re.compile(rb"P([2356])(?:(?:\s+|#[^\n]*\n)+\d{1,9}){2}(?:\s+|#[^\n]*\n)+(\d{1,5})\s")
_PNM_HEADER = 4096
_said: dict[str, object] = {}

logger = logging.getLogger(__name__)


def decode_image(encoded: bytes, where: str) -> RGBImage:
    """Decode an image of any format that `image_suffix` knows to (H, W, 3) uint8 RGB, turned as its metadata say.

    Grey images get three equal channels. Of 16 bits per channel, the upper 8 are used; PNM of other depths are scaled
    to 8, by the value of white in the header. Colour profiles are not applied. Transparency is dropped
    (transparent parts of TIFF and GIF become black). Of a file with several pictures, such as an animation, the first
    is read; a warning says so once per process. Raises CorruptImageError, which names `where`, for bytes that cannot be
    decoded, for a small file that claims to be a huge image, and for a truncated file (also if OpenCV would fill the
    missing part with grey). Damage inside a complete JPEG is not detected, because libjpeg hides it and only writes to
    stderr.
    """
    suffix = _checked_suffix(encoded, where)
    if suffix not in _said and suffix != ".jpg" and holds_several(encoded) and _first(suffix):
        logger.warning(
            "%s contains several pictures, such as frames or pages, of which only the first is read (this "
                "warning appears for one %s file only)", where, suffix,
        )  # fmt: skip
    if suffix == ".heic":
        return decode_heic(encoded, where)
    image = _decode(encoded, where)
    # OpenCV turns images by EXIF, but an AVIF file is turned by other metadata.
    return _turned(image, encoded) if suffix == ".avif" else image


def _first(suffix: str) -> bool:
    """Whether a file of this kind is the first of several pictures, in whatever threads."""
    mark = object()
    return _said.setdefault(suffix, mark) is mark


def _checked_suffix(encoded: bytes, where: str) -> str:
    """The format of an image, after checks that it is complete and harmless."""
    if not encoded:
        raise CorruptImageError(f"{where}: the image is empty (0 bytes)")
    suffix = image_suffix(encoded)
    if suffix is None and (video := video_kind(encoded[:BEGINNING])) is not None:
        raise CorruptImageError(
            f"{where}: is a video ({video}), expected an image: with --video facemargin embed and "
            "facemargin gallery identify read videos, and in Python embed_video and Gallery.identify_video"
        )
    if suffix is None:
        raise CorruptImageError(
            f"{where}: not an image of a known format ({len(encoded)} bytes that begin with {encoded[:8]!r}); "
            f"expected {KNOWN_KINDS}"
        )
    if _is_truncated(encoded):
        raise CorruptImageError(f"{where}: the image is truncated: its end marker is missing ({len(encoded)} bytes)")
    pixels = stated_pixels(encoded)
    if pixels is None and suffix in _SAY_THEIR_SIZE:
        raise CorruptImageError(f"{where}: the image does not state its width and height ({len(encoded)} bytes)")
    harmless = _HARMLESS_COSTLY_PIXELS if suffix in _COSTLY else _HARMLESS_PIXELS
    if (pixels or 0) > max(harmless, _PIXELS_A_BYTE * len(encoded)):
        raise CorruptImageError(
            f"{where}: the image claims {pixels:,} pixels in only {len(encoded):,} bytes, so it is damaged or harmful"
        )
    if _num_scans(encoded) > _HARMLESS_SCANS + len(encoded) // _BYTES_A_SCAN:
        raise CorruptImageError(
            f"{where}: the JPEG has {_num_scans(encoded):,} scans (about 10 are usual), so it is damaged or meant to "
            "waste time"
        )
    return suffix


def _decode(encoded: bytes, where: str) -> RGBImage:
    white = _pnm_white(encoded)
    try:
        with OPENCV_SILENT:
            how = cv2.IMREAD_COLOR if white is None else cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
            image_bgr = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), how)
    except cv2.error as error:
        raise CorruptImageError(f"{where}: OpenCV cannot decode the image: {error.err}") from error
    if image_bgr is None:
        raise CorruptImageError(f"{where}: not an image that OpenCV can decode ({len(encoded)} bytes)")
    if white is not None:  # OpenCV leaves the values as they are, so that the picture would be dark
        image_bgr = np.rint(np.minimum(image_bgr * (255 / white), 255)).astype(np.uint8)
    return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)


def _pnm_white(encoded: bytes) -> int | None:
    """The value of white in a PNM file, if it is not all that its bits can hold."""
    found = _PNM_WHITE.match(encoded[:_PNM_HEADER])
    white = 255 if found is None else int(found[2])
    told = white < 256 and found is not None and found[1] in b"23"  # of these, written as text, OpenCV looks at it
    return None if told or white in (0, 255, 65535) else white


def _turned(image: RGBImage, encoded: bytes) -> RGBImage:
    for turn in heif_turns(encoded):
        image = np.rot90(image, turn.quarters) if turn.mirror is None else np.flip(image, turn.mirror)
    return np.ascontiguousarray(image)


def _num_scans(encoded: bytes) -> int:
    if not encoded.startswith(_JPEG_START):
        return 0
    # Nearly every JPEG has exactly one; searching for it from both ends takes half as long as counting.
    first = encoded.find(_JPEG_SCAN)
    return int(first >= 0) if first == encoded.rfind(_JPEG_SCAN) else encoded.count(_JPEG_SCAN)


def _is_truncated(encoded: bytes) -> bool:
    """Whether the end of a JPEG or PNG is missing. The end marker of a JPEG must follow its last scan, because an
    embedded thumbnail has its own end marker."""
    if encoded.startswith(_JPEG_START):
        end = encoded.rfind(_JPEG_END)
        return end < 0 or encoded.find(_JPEG_SCAN, end) >= 0
    if encoded.startswith(_PNG_START):
        return _PNG_END not in encoded
    return False
