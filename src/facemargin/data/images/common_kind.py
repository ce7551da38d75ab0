"""Converts images of rare formats to PNG, which is lossless, so that every program of the field can read them."""

import logging

from facemargin.data.images.decode import decode_image
from facemargin.data.images.kind import COMMON_SUFFIXES, image_suffix
from facemargin.data.source import RGBImage, encode_png

logger = logging.getLogger(__name__)


def in_common_kind(encoded: bytes, where: str, image: RGBImage | None = None) -> tuple[bytes, str, bool]:
    """The unchanged bytes, or a PNG of the image if their format is not a common one; their suffix; and whether they
    were changed. `image` is the decoded image, if it is known. Raises CorruptImageError, which names `where`, if bytes
    of a rare format cannot be decoded.
    """
    suffix = image_suffix(encoded)
    if suffix in COMMON_SUFFIXES:
        return encoded, suffix, False
    return encode_png(decode_image(encoded, where) if image is None else image), ".png", True


def say_as_png(count: int, name: str) -> None:
    """Log how many images of the set called `name` were converted to PNG, if any."""
    if count:
        logger.warning(
            "%s: %s in a format that few programs read (TIFF, GIF, HEIC, …) and written as PNG, which is lossless",
            name,
            "1 image is" if count == 1 else f"{count:,} images are",
        )
