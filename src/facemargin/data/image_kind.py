"""What kind of file encoded image bytes are, by how they begin."""

_BEGINNINGS = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"BM", ".bmp"), (b"P5", ".pgm"))


def image_suffix(encoded: bytes) -> str | None:
    """The suffix of a file with this content, None for kinds that folders of images are not searched for."""
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for beginning, suffix in _BEGINNINGS if encoded.startswith(beginning)), None)
