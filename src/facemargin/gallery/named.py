"""Who is in images that are to be enrolled."""

import logging
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from facemargin.data.formats.folder import FolderImages
from facemargin.data.given_images import GivenForm, given_images
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.errors import ConfigError, DataError
from facemargin.files.unicode_names import one_form
from facemargin.gallery.store import Store

logger = logging.getLogger(__name__)

LONGEST_NAME = 200
"""Characters of a person's name."""
LONGEST_CONSENT = 1000
"""Characters of the note about consent."""

_NOT_SHOWN = ("Cc", "Cf", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
_VIRAMA = 9


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
    """The name as it is kept: in one Unicode form (NFC), without spaces at its ends, and one space where there are
    several in a row. ConfigError for one that is empty, longer than 200 characters, or that lists and pages would show
    as another: with line breaks and other control characters, invisible ones, or such as turn the direction of text.
    Joiners are taken where scripts need them, after Arabic letters and viramas."""
    if not name.strip():
        raise ConfigError("the name of a person is empty")
    if any(unicodedata.category(char) in _NOT_SHOWN and not _joins(name, place) for place, char in enumerate(name)):
        raise ConfigError(
            f"the name of a person is {name[:LONGEST_NAME]!a}, with characters that cannot be shown or that turn the "
            "direction of text: remove them"
        )
    kept = as_kept(name)
    if len(kept) > LONGEST_NAME:
        raise ConfigError(
            f"the name of a person has {len(kept):,} characters, at most {LONGEST_NAME} are taken: {kept[:40]!a}…"
        )
    return kept


def as_kept(name: str) -> str:
    """What `person_name` makes of a name that it takes, to look for somebody."""
    return re.sub(r"(\s)\s+", r"\1", one_form(name).strip())


def known_names(store: Store, people: Sequence[str]) -> list[str]:
    """The names by which these people would be enrolled: as they are given, in a gallery that has such, or as names are
    kept now."""
    given = [one_form(name) for name in people]
    found = store.person_numbers(given)
    return [name if number is not None else as_kept(name) for name, number in zip(given, found, strict=True)]


def consent_note(text: str) -> str:
    """The note itself. ConfigError for one that is too long."""
    if len(text) > LONGEST_CONSENT:
        raise ConfigError(f"the note about consent has {len(text):,} characters, at most {LONGEST_CONSENT:,} are taken")
    return text


def _joins(name: str, place: int) -> bool:
    """Whether there is a joiner that changes how the letters around it look."""
    if name[place] not in _JOINERS or not 0 < place < len(name) - 1:
        return False
    before = name[place - 1]
    return unicodedata.bidirectional(before) == "AL" or unicodedata.combining(before) == _VIRAMA
