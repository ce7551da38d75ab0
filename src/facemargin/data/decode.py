"""Encoded image bytes to pixels, and what counts as a corrupt image."""

import cv2
import numpy as np

from facemargin.data.source import RGBImage
from facemargin.errors import CorruptImageError

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


def decode_image(encoded: bytes, where: str) -> RGBImage:
    """Decode any format OpenCV knows to (H, W, 3) uint8 RGB; grey images get three equal channels.

    Raises CorruptImageError, naming `where`, for what cannot be decoded and for a truncated file, also where OpenCV
    would fill the missing part with grey. Damage inside a complete JPEG is invisible here: libjpeg conceals it and
    tells only stderr.
    """
    if not encoded:
        raise CorruptImageError(f"{where}: the image is empty (0 bytes)")
    if _is_truncated(encoded):
        raise CorruptImageError(f"{where}: the image is truncated, its end marker is missing ({len(encoded)} bytes)")
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


def _is_truncated(encoded: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end. A JPEG's end marker has to follow its last scan: an embedded thumbnail has
    an end marker of its own."""
    if encoded.startswith(_JPEG_START):
        return encoded.rfind(_JPEG_END) <= encoded.rfind(_JPEG_SCAN)
    if encoded.startswith(_PNG_START):
        return _PNG_END not in encoded
    return False
