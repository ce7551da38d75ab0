"""Images of people unknown, as a user names them: files, folders of whatever depth, and lists of files."""

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
    """The images at `locations`: files as they are, in folders all images at any depth, sorted by name, and of .txt
    files the images that they list, one path a line, relative to the list's folder.

    `paths` are as given and found. `names` say the same from the last folder on that all locations share, so that they
    stay true where that folder is moved or mounted elsewhere. An image that is named twice is here once. What is passed
    over in folders is counted in a warning. Raises DataError for a location that does not exist and for a folder or
    list without an image; a file of any other kind is taken for one, and so is what a list names.
    """

    def __init__(self, locations: Sequence[Path]) -> None:
        if not locations:
            raise DataError("no images are named; expected image files, or folders of them")
        found: dict[Path, Path] = {}
        folders: set[Path] = set()
        for location in (find_file(location) or location for location in locations):
            paths = _images_at(location)
            folders |= {_absolute(location)} if location.is_dir() else {_absolute(path.parent) for path in paths}
            for path in paths:
                found.setdefault(_absolute(path), path)
        shared = os.path.commonpath(folders)
        name = str(locations[0]) if len(locations) == 1 else f"{len(locations)} files and folders"
        self.paths = list(found.values())
        super().__init__(Path(), self.paths, name)
        self.names = [path.relative_to(Path(shared).parent).as_posix() for path in found]


def _absolute(path: Path) -> Path:
    """Without "..", but not through links as by resolve(): an image keeps the name by which it was found."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _images_at(location: Path) -> list[Path]:
    if not location.exists():
        raise DataError(f"{location} does not exist; expected an image file, or a folder of them")
    if location.suffix == ".txt" and not location.is_dir():
        return _listed(location)
    if not location.is_dir():
        return [location]
    passed = PassedOver()
    found = list(_images_in(location, frozenset(), passed))
    passed.say(str(location))
    if not found:
        raise DataError(f"{location} holds no images; expected files that end in {', '.join(sorted(IMAGE_SUFFIXES))}")
    return found


def _listed(location: Path) -> list[Path]:
    try:
        text = location.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{location}: cannot be read: {error.strerror}") from error
    # Not splitlines: names may hold what it splits at, such as U+2028.
    paths = [_listed_path(location.parent, line.removesuffix("\r")) for line in text.split("\n") if line.strip()]
    if not paths or "\0" in text:
        raise DataError(f"{location} lists no images; expected the path of one in each line")
    return paths


def _listed_path(folder: Path, line: str) -> Path:
    """A line as it is where there is such a file (a name may end in a blank), else without blanks around it."""
    with contextlib.suppress(OSError):  # a name that is too long
        if line != line.strip() and (folder / line).is_file():
            return folder / line
    return folder / line.strip()


def _images_in(folder: Path, above: frozenset[Path], passed: PassedOver) -> Iterator[Path]:
    """Links to folders are followed, but not back into a folder that lies `above`."""
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
