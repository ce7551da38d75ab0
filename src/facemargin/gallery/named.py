"""Who is in images that are to be enrolled."""

import logging
from collections.abc import Iterable
from pathlib import Path

from facemargin.data.formats.folder import FolderImages
from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.errors import ConfigError, DataError
from facemargin.files.unicode_names import one_form

logger = logging.getLogger(__name__)


def named_images(
    images: LabeledImages | GivenForm | Iterable[GivenForm], person: str | None
) -> tuple[ImageSource, list[str]]:
    """The images, and who is in each."""
    if person is None and isinstance(images, str | Path):
        images = open_images(images)
    if person is not None:
        source = given_images(images)
        return source, [_name(person)] * len(source)
    if not isinstance(images, LabeledImages):
        raise DataError(
            "nobody says who is in the images: give their person, or a folder with one folder of images per person"
        )
    if not images.has_names and not isinstance(images, FolderImages):
        logger.warning(
            "%s numbers its people instead of naming them: they are enrolled under their numbers, and people of "
            "another set who have the same would be taken for them", images.name,
        )  # fmt: skip
    names = [_name(name) for name in images.identity_names]
    return images, [names[label] for label in images.labels.tolist()]


def _name(name: str) -> str:
    if not name.strip():
        raise ConfigError("the name of a person is empty")
    return one_form(name)
