"""Images as every program of the field reads them: rare kinds become PNG, which loses nothing."""

import logging

from facemargin.data.images.decode import decode_image
from facemargin.data.images.kind import COMMON_SUFFIXES, image_suffix
from facemargin.data.source import RGBImage, encode_png

logger = logging.getLogger(__name__)


def in_common_kind(encoded: bytes, where: str, image: RGBImage | None = None) -> tuple[bytes, str, bool]:
    """The bytes as they are, or a PNG of the image where they are of no common kind; their suffix; and whether they
    were changed. `image` is what they decode to, where that is known. Raises CorruptImageError, naming `where`, for
    bytes that are to be changed and cannot be decoded.
    """
    suffix = image_suffix(encoded)
    if suffix in COMMON_SUFFIXES:
        return encoded, suffix, False
    return encode_png(decode_image(encoded, where) if image is None else image), ".png", True


def say_as_png(count: int, name: str) -> None:
    """Log how many images of the set called `name` became PNG, if any."""
    if count:
        logger.warning(
            "%s: %s of a kind that few programs read (TIFF, GIF, HEIC, …), written as PNG, which loses nothing",
            name,
            "1 image is" if count == 1 else f"{count:,} images are",
        )
