"""Files of a kind, by the names under which they are found: files, folders of any depth, and lists of files."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facemargin.data.formats.passed_over import PassedOver
from facemargin.errors import DataError
from facemargin.files.listing import IMAGE_SUFFIXES, VIDEO_SUFFIXES, entries, is_image_name, is_video_name
from facemargin.files.unicode_names import find_file


@dataclass(frozen=True)
class FileKind:
    """What is looked for in a folder: by `is_name`, the names that end in `suffixes`. Messages call it `one` and
    `several`."""

    one: str
    several: str
    suffixes: frozenset[str]
    is_name: Callable[[str], bool]


IMAGES = FileKind("an image", "images", IMAGE_SUFFIXES, is_image_name)
VIDEOS = FileKind("a video", "videos", VIDEO_SUFFIXES, is_video_name)


@dataclass(frozen=True)
class NamedFiles:
    """`paths` as given or found, and `names` relative to the last folder that all locations share, so that they stay
    valid if this folder is moved or mounted elsewhere. `name` is what messages call them."""

    name: str
    paths: list[Path]
    names: list[str]


def find_named_files(locations: Sequence[Path], kind: FileKind) -> NamedFiles:
    """The files at `locations`: files, all files of this kind in folders at any depth, sorted by name, and all files
    listed in .txt files, one path per line, relative to the folder of the list. A file that is given twice is included
    once.

    Skipped files in folders are counted in a warning. Raises DataError for a location that does not exist, and for a
    folder or list without files of this kind. Any other file, and every path in a list, counts as one.
    """
    if not locations:
        raise DataError(f"no {kind.several} are given; expected {kind.one} file, or folders with {kind.several}")
    path_by_absolute: dict[Path, Path] = {}
    folders: set[Path] = set()
    for location in (find_file(location) or location for location in locations):
        paths = _files_at(location, kind)
        folders |= {_absolute(location)} if location.is_dir() else {_absolute(path.parent) for path in paths}
        for path in paths:
            path_by_absolute.setdefault(_absolute(path), path)
    shared = Path(os.path.commonpath(folders)).parent
    name = str(locations[0]) if len(locations) == 1 else f"{len(locations)} files and folders"
    names = [path.relative_to(shared).as_posix() for path in path_by_absolute]
    return NamedFiles(name, list(path_by_absolute.values()), names)


def _absolute(path: Path) -> Path:
    """Remove "..", but do not follow links as resolve() does, so that an image keeps the name under which it was
    found."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _files_at(location: Path, kind: FileKind) -> list[Path]:
    if not location.exists():
        raise DataError(f"{location} does not exist; expected {kind.one} file, or a folder with {kind.several}")
    if location.suffix == ".txt" and not location.is_dir():
        return _listed(location, kind)
    if not location.is_dir():
        return [location]
    passed = PassedOver()
    paths = list(_files_in(location, kind, frozenset(), passed))
    passed.say(str(location))
    if not paths:
        raise DataError(
            f"{location} holds no {kind.several}; expected files that end in {', '.join(sorted(kind.suffixes))}"
        )
    return paths


def _listed(location: Path, kind: FileKind) -> list[Path]:
    try:
        text = location.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{location}: cannot be read: {error.strerror}") from error
    # splitlines() would also split at characters that names may contain, such as U+2028.
    paths = [_listed_path(location.parent, line.removesuffix("\r")) for line in text.split("\n") if line.strip()]
    if not paths or "\0" in text:
        raise DataError(f"{location} lists no {kind.several}; expected one path in each line")
    return paths


def _listed_path(folder: Path, line: str) -> Path:
    """The line as a path if this file exists (a name may end with a space), otherwise the line without surrounding
    spaces."""
    with contextlib.suppress(OSError):  # a name that is too long
        if line != line.strip() and (folder / line).is_file():
            return folder / line
    return folder / line.strip()


def _files_in(folder: Path, kind: FileKind, above: frozenset[Path], passed: PassedOver) -> Iterator[Path]:
    """Yields the files of this kind in a folder. Links to folders are followed, except to a folder in `above`."""
    real = folder.resolve()
    if real in above:
        return
    for path in entries(folder):
        if path.is_dir():
            yield from _files_in(path, kind, above | {real}, passed)
        elif kind.is_name(path.name):
            if kind is IMAGES:
                passed.note_image(path)
            yield path
        else:
            passed.suffixes[path.suffix.lower()] += 1
