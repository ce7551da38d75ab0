"""Detects the container of a video by its first bytes, independent of the file name.

FFmpeg would also open texts that name other files or addresses (playlists); only what is listed here reaches it.
"""

import re

from facemargin.data.images.kind import image_suffix

_BEGINNINGS = (
    (re.compile(rb"....ftypM4[AB] ", re.DOTALL), None),  # sound alone
    (re.compile(rb"....(ftyp|moov|mdat|wide|free|skip|pnot)", re.DOTALL), "MP4 or QuickTime"),
    (re.compile(rb"RIFF....AVI ", re.DOTALL), "AVI"),
    (re.compile(rb"\x1aE\xdf\xa3"), "Matroska or WebM"),
    (re.compile(rb"FLV\x01"), "Flash"),
    (re.compile(rb"\0\0\x01[\xba\xb3]"), "MPEG"),
    (re.compile(rb"G.{187}G|.{4}G.{191}G", re.DOTALL), "MPEG transport stream"),
    (re.compile(rb"0&\xb2u\x8ef\xcf\x11"), "Windows Media"),
    (re.compile(rb"OggS"), "Ogg"),
)

BEGINNING = 256
"""So many bytes of a file tell its kind."""

KNOWN_KINDS = "MP4, QuickTime, AVI, Matroska, WebM, MPEG, Flash, Windows Media, Ogg"


def video_kind(encoded: bytes) -> str | None:
    """The container of a video with this beginning, for messages; None for other files, images and sound."""
    if image_suffix(encoded) is not None:
        return None
    return next((kind for beginning, kind in _BEGINNINGS if beginning.match(encoded)), None)
