"""Reads HEIC, the format of photographs from telephones, with pillow-heif (the extra "heif")."""

import importlib.util

import numpy as np

from facemargin.data.source import RGBImage
from facemargin.errors import CorruptImageError
from facemargin.extras import install

HEIC_SUFFIXES = frozenset({".heic", ".heif"})
NEEDS_EXTRA = f"HEIC is read with pillow-heif: {install('heif')}"


def reads_heic() -> bool:
    """Whether pillow-heif is installed."""
    return importlib.util.find_spec("pillow_heif") is not None


def decode_heic(encoded: bytes, where: str) -> RGBImage:
    """The primary image of a HEIC file as (H, W, 3) uint8 RGB, turned as the file says. Raises CorruptImageError, which
    names `where`, for bytes that cannot be decoded, and if pillow-heif is not installed."""
    if not reads_heic():
        raise CorruptImageError(f"{where}: {NEEDS_EXTRA}")
    import pillow_heif

    try:
        file = pillow_heif.open_heif(encoded, convert_hdr_to_8bit=True)
        pixels = np.asarray(file[file.primary_index])
    except Exception as error:  # the type of the error depends on the message of libheif
        raise CorruptImageError(f"{where}: pillow-heif cannot decode the image: {error}") from error
    if pixels.dtype == np.uint16:  # grey images keep 10 or 12 bits, shifted to 16
        pixels = (pixels >> 8).astype(np.uint8)
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        gray = pixels if pixels.ndim == 2 else pixels[..., 0]
        pixels = np.repeat(gray[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])
