"""Folders of one folder of images per person."""

import logging
from pathlib import Path

import numpy as np

from facemargin.data.formats.data_format import Location, register_format
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.passed_over import PassedOver
from facemargin.data.formats.text_labels import warn_of_unlabeled
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.files.listing import IMAGE_SUFFIXES, entries, is_image_name
from facemargin.files.plain_numbers import is_digits, is_negative
from facemargin.files.unicode_names import warn_of_twins

logger = logging.getLogger(__name__)


class FolderImages(ImageFiles, LabeledImages):
    """A folder `identity/image.jpg` (or another of IMAGE_SUFFIXES), people and their images sorted by name.

    Folders without images do not count as people. They, and all other skipped files and folders, are listed in a
    warning. If the names of all folders are numbers, they are not names of people (`has_names`). A folder "-1" has
    images of unknown people, which are left out and counted. Raises DataError if there are no images.
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
            hint = f". Perhaps the path is one level too high: {lower[0]} contains folders with images" if lower else ""
            raise DataError(
                f"{root} has no folders with images; expected one folder per person, as in identity/image.jpg "
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
    """The sorted names of the folders in `folder` that contain images. Empty if `folder` cannot be read."""
    try:
        return [person.name for person in entries(folder) if person.is_dir() and _image_names(person, PassedOver())]
    except OSError:
        return []


def _people(root: Path, passed: PassedOver) -> dict[str, list[str]]:
    """The names of each person's images. Everything else is recorded in `passed`."""
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
