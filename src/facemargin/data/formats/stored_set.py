"""Data sets in files of many images each, where images are asked for without labels."""

from collections.abc import Sequence
from pathlib import Path

from facemargin.data.formats.data_format import FORMATS, Location
from facemargin.data.source import LabeledImages
from facemargin.files.listing import is_image_name
from facemargin.files.unicode_names import find_file

_FORMATS = ("recordio", "webdataset", "parquet")


def stored_set(locations: Sequence[Path]) -> LabeledImages | None:
    """The images of tar, RecordIO or parquet files, if that is what the only location is; None for anything else, also
    for a folder with images of its own. Raises DataError for a damaged set."""
    if len(locations) != 1:
        return None
    path = find_file(locations[0])
    if path is not None and path.is_dir() and any(is_image_name(file.name) for file in path.rglob("*")):
        return None
    at = Location(str(locations[0]), path)
    return next((images for name in _FORMATS if (images := FORMATS[name].open(at)) is not None), None)
