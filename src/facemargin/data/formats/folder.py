"""Images as files: any list of files, and folders of one folder per person."""

import logging
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.passed_over import PassedOver
from facemargin.data.formats.text_labels import warn_of_unlabeled
from facemargin.data.images.decode import LARGEST_ENCODED, decode_image
from facemargin.data.source import ImageSource, LabeledImages, RGBImage
from facemargin.errors import CorruptImageError, DataError
from facemargin.files.listing import IMAGE_SUFFIXES, entries, is_image_name
from facemargin.files.plain_numbers import is_digits, is_negative
from facemargin.files.unicode_names import similar_files, warn_of_twins

logger = logging.getLogger(__name__)


def read_image_file(path: Path) -> RGBImage:
    """The image in a file as (H, W, 3) uint8 RGB; raises CorruptImageError, naming the file. A name that is written in
    another Unicode normal form than the file's is found, too."""
    return decode_image(_read_bytes(path), str(path))


def _read_bytes(path: Path) -> bytes:
    try:
        return _bytes_of(path)
    except FileNotFoundError as error:
        similar = [other for other in similar_files(path) if other != path]  # itself: a link to nothing
        if len(similar) == 1:
            return _bytes_of(similar[0])
        several = f"; {len(similar)} files differ from it in Unicode normal form only" if similar else ""
        raise CorruptImageError(f"{path}: cannot be read: {error.strerror}{several}") from error


def _bytes_of(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a list may name what never ends, such as /dev/zero
            raise CorruptImageError(f"{path}: is not a file, expected an image")
        if status.st_size > LARGEST_ENCODED:
            raise CorruptImageError(f"{path}: {status.st_size:,} bytes are too many for an image")
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte, from a list
        raise CorruptImageError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error


class ImageFiles(ImageSource):
    """The files `names`, relative to the folder `root`, in that order."""

    def __init__(self, root: Path | str, names: Sequence[str]) -> None:
        self.root = Path(root)
        self.name = str(root)
        self._names = list(names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> RGBImage:
        return read_image_file(self.root / self._names[index])

    def read_encoded(self, index: int) -> bytes:
        return _read_bytes(self.root / self._names[index])

    def describe(self, index: int) -> str:
        return str(self.root / self._names[index])


class FolderImages(ImageFiles, LabeledImages):
    """A folder `identity/image.jpg` (or another of IMAGE_SUFFIXES), people and their images sorted by name.

    Folders without an image in them are not people; they, and whatever else is passed over, are said in a warning.
    Folders that are all numbered do not name people (`has_names`), and a folder "-1" holds images of people unknown,
    which are left out and counted. Raises DataError where there is nothing to read.
    """

    def __init__(self, root: Path | str) -> None:
        root = Path(root)
        if not root.is_dir():
            raise DataError(f"{root} is not a folder; expected one folder of images per person in it")
        passed = PassedOver()
        people = _people(root, passed)
        passed.say(str(root))
        warn_of_twins(str(root), people)
        if not people:
            lower = [person for person in entries(root) if person.is_dir() and folders_of_people(person)]
            hint = f". It may be one level too high: {lower[0]} holds folders with images" if lower else ""
            raise DataError(
                f"{root} has no images in folders of their own; expected identity/image.jpg "
                f"(also {', '.join(sorted(IMAGE_SUFFIXES - {'.jpg'}))}){hint}"
            )
        unlabeled = [person for person in people if is_negative(person)]
        self.num_unlabeled = sum(len(people[person]) for person in unlabeled)
        warn_of_unlabeled(str(root), self.num_unlabeled, sum(map(len, people.values())))
        people = {person: names for person, names in people.items() if person not in unlabeled}
        super().__init__(root, [f"{person}/{name}" for person, names in people.items() for name in names])
        self.identity_names = list(people)
        self.has_names = not all(map(is_digits, people))
        self.labels = np.repeat(
            np.arange(len(people), dtype=np.int64), [len(image_names) for image_names in people.values()]
        )


def folders_of_people(folder: Path) -> list[str]:
    """Names of the folders in `folder` that hold images, sorted; none where it cannot be read."""
    try:
        return [one.name for one in entries(folder) if one.is_dir() and _image_names(one, PassedOver())]
    except OSError:
        return []


def _people(root: Path, passed: PassedOver) -> dict[str, list[str]]:
    """The names of each person's images; what else there is goes to `passed`."""
    people: dict[str, list[str]] = {}
    passed.note_system(root)
    for person in entries(root):
        if not person.is_dir():
            passed.beside += [person.name] if is_image_name(person.name) else []
        elif names := _image_names(person, passed):
            people[person.name] = names
        else:
            passed.people.append(person.name)
    return people


def _image_names(folder: Path, passed: PassedOver) -> list[str]:
    names = []
    for path in entries(folder):
        if is_image_name(path.name):
            names.append(path.name)
            passed.note_image(path)
        elif path.is_dir():
            passed.folders.append(f"{folder.name}/{path.name}")
        else:
            passed.suffixes[path.suffix.lower()] += 1
    return names


@register_format("folder", "a folder of one folder per person", order=90)
def _open(at: Location) -> FolderImages | None:
    return FolderImages(at.path) if at.path is not None and at.path.is_dir() else None
