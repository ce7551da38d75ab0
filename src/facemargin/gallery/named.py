"""Who is in images that are to be enrolled."""

import logging
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from facemargin.data.formats.folder import FolderImages
from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.errors import ConfigError, DataError
from facemargin.files.unicode_names import one_form

logger = logging.getLogger(__name__)

_NOT_SHOWN = ("Cc", "Zl", "Zp")
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def named_images(
    images: LabeledImages | GivenForm | Iterable[GivenForm], person: str | None
) -> tuple[ImageSource, list[str]]:
    """The images, and who is in each."""
    if person is None and isinstance(images, str | Path):
        images = open_images(images)
    if person is not None:
        source = given_images(images)
        return source, [person_name(person)] * len(source)
    if not isinstance(images, LabeledImages):
        raise DataError(
            "nobody says who is in the images: give their person, or a folder with one folder of images per person"
        )
    if not images.has_names and not isinstance(images, FolderImages):
        logger.warning(
            "%s numbers its people instead of naming them: they are enrolled under their numbers, and people of "
            "another set who have the same would be taken for them", images.name,
        )  # fmt: skip
    names = [person_name(name) for name in images.identity_names]
    return images, [names[label] for label in images.labels.tolist()]


def person_name(name: str) -> str:
    """The name as it is kept. ConfigError for one that is empty, or that lists and pages would show as another: with
    line breaks and other control characters, or characters that turn the direction of text."""
    if not name.strip():
        raise ConfigError("the name of a person is empty")
    if any(unicodedata.category(char) in _NOT_SHOWN or char in _TURNING for char in name):
        raise ConfigError(
            f"the name of a person is {name[:200]!a}, with characters that cannot be shown or that turn the direction "
            "of text: remove them"
        )
    return one_form(name)
