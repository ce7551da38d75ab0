"""Encoded image bytes to pixels, and what counts as a corrupt image."""

import cv2
import numpy as np

from facemargin.data.image_size import stated_pixels
from facemargin.data.source import RGBImage
from facemargin.errors import CorruptImageError

LARGEST_ENCODED = 1 << 28
"""Bytes that an image may have as a file or record; more are a damaged length, or a wrong file."""

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"

# A photograph has some 10 pixels a byte, and hardly a picture more than 100.
_HARMLESS_PIXELS, _PIXELS_A_BYTE = 1 << 24, 1000
# Progressive JPEGs have ten scans, each of which goes through the whole image. In what is no JPEG, behind or between,
# there is a marker every 65,536 bytes by chance.
_HARMLESS_SCANS, _BYTES_A_SCAN = 100, 4096


def decode_image(encoded: bytes, where: str) -> RGBImage:
    """Decode any format OpenCV knows to (H, W, 3) uint8 RGB; grey images get three equal channels.

    Raises CorruptImageError, naming `where`, for what cannot be decoded, for a small file that claims to be a huge
    image, and for a truncated file, also where OpenCV would fill the missing part with grey. Damage inside a complete
    JPEG is invisible here: libjpeg conceals it and tells only stderr.
    """
    if not encoded:
        raise CorruptImageError(f"{where}: the image is empty (0 bytes)")
    if _is_truncated(encoded):
        raise CorruptImageError(f"{where}: the image is truncated, its end marker is missing ({len(encoded)} bytes)")
    if (pixels := stated_pixels(encoded) or 0) > max(_HARMLESS_PIXELS, _PIXELS_A_BYTE * len(encoded)):
        raise CorruptImageError(f"{where}: claims {pixels:,} pixels in {len(encoded):,} bytes")
    if _num_scans(encoded) > _HARMLESS_SCANS + len(encoded) // _BYTES_A_SCAN:
        raise CorruptImageError(f"{where}: has {_num_scans(encoded):,} scans, to waste time")
    log_level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        image_bgr = cv2.imdecode(np.frombuffer(encoded, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise CorruptImageError(f"{where}: OpenCV cannot decode the image: {error.err}") from error
    finally:
        cv2.utils.logging.setLogLevel(log_level)
    if image_bgr is None:
        raise CorruptImageError(f"{where}: not an image that OpenCV can decode ({len(encoded)} bytes)")
    return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)


def _num_scans(encoded: bytes) -> int:
    if not encoded.startswith(_JPEG_START):
        return 0
    # Nearly every JPEG has one, and looking for it from both ends takes half as long as counting.
    first = encoded.find(_JPEG_SCAN)
    return int(first >= 0) if first == encoded.rfind(_JPEG_SCAN) else encoded.count(_JPEG_SCAN)


def _is_truncated(encoded: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end. A JPEG's end marker has to follow its last scan: an embedded thumbnail has
    an end marker of its own."""
    if encoded.startswith(_JPEG_START):
        end = encoded.rfind(_JPEG_END)
        return end < 0 or encoded.find(_JPEG_SCAN, end) >= 0
    if encoded.startswith(_PNG_START):
        return _PNG_END not in encoded
    return False
