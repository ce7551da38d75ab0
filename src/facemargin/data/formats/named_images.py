"""Images without labels: files, folders of any depth, and lists of files."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.passed_over import PassedOver
from facemargin.errors import DataError
from facemargin.files.listing import IMAGE_SUFFIXES, entries, is_image_name
from facemargin.files.unicode_names import find_file


class NamedImages(ImageFiles):
    """The images at `locations`: image files, all images in folders at any depth, sorted by name, and all images listed
    in .txt files, one path per line, relative to the folder of the list.

    `paths` are the paths as given or found. `names` are the paths relative to the last folder that all locations share,
    so that they stay valid if this folder is moved or mounted elsewhere. An image that is given twice is included once.
    Skipped files in folders are counted in a warning. Raises DataError for a location that does not exist, and for a
    folder or list without images. Any other file, and every path in a list, counts as an image.
    """

    def __init__(self, locations: Sequence[Path]) -> None:
        if not locations:
            raise DataError("no images are given; expected image files, or folders with images")
        path_by_absolute: dict[Path, Path] = {}
        folders: set[Path] = set()
        for location in (find_file(location) or location for location in locations):
            paths = _images_at(location)
            folders |= {_absolute(location)} if location.is_dir() else {_absolute(path.parent) for path in paths}
            for path in paths:
                path_by_absolute.setdefault(_absolute(path), path)
        shared = os.path.commonpath(folders)
        name = str(locations[0]) if len(locations) == 1 else f"{len(locations)} files and folders"
        self.paths = list(path_by_absolute.values())
        super().__init__(Path(), self.paths, name)
        self.names = [path.relative_to(Path(shared).parent).as_posix() for path in path_by_absolute]


def _absolute(path: Path) -> Path:
    """Remove "..", but do not follow links as resolve() does, so that an image keeps the name under which it was
    found."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _images_at(location: Path) -> list[Path]:
    if not location.exists():
        raise DataError(f"{location} does not exist; expected an image file, or a folder with images")
    if location.suffix == ".txt" and not location.is_dir():
        return _listed(location)
    if not location.is_dir():
        return [location]
    passed = PassedOver()
    paths = list(_images_in(location, frozenset(), passed))
    passed.say(str(location))
    if not paths:
        raise DataError(f"{location} holds no images; expected files that end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return paths


def _listed(location: Path) -> list[Path]:
    try:
        text = location.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{location}: cannot be read: {error.strerror}") from error
    # splitlines() would also split at characters that names may contain, such as U+2028.
    paths = [_listed_path(location.parent, line.removesuffix("\r")) for line in text.split("\n") if line.strip()]
    if not paths or "\0" in text:
        raise DataError(f"{location} lists no images; expected one path in each line")
    return paths


def _listed_path(folder: Path, line: str) -> Path:
    """The line as a path if this file exists (a name may end with a space), otherwise the line without surrounding
    spaces."""
    with contextlib.suppress(OSError):  # a name that is too long
        if line != line.strip() and (folder / line).is_file():
            return folder / line
    return folder / line.strip()


def _images_in(folder: Path, above: frozenset[Path], passed: PassedOver) -> Iterator[Path]:
    """Yields the images in a folder. Links to folders are followed, except to a folder in `above`."""
    real = folder.resolve()
    if real in above:
        return
    for path in entries(folder):
        if path.is_dir():
            yield from _images_in(path, above | {real}, passed)
        elif is_image_name(path.name):
            passed.note_image(path)
            yield path
        else:
            passed.suffixes[path.suffix.lower()] += 1
