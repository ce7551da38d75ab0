"""Labels given as texts, which are numbers of people or their names. Shapes: N images."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.identity_names import numbered_identities
from facemargin.errors import DataError
from facemargin.files.plain_numbers import is_negative, whole_number
from facemargin.files.unicode_names import warn_of_twins

logger = logging.getLogger(__name__)

UNLABELED = -1


def text_identities(
    texts: Sequence[str], text_N: NDArray[np.int64], name: str, folder: Path
) -> tuple[NDArray[np.int64], list[str], bool]:
    """Labels (N,) without gaps, the names of the people, and whether these are real names, for images with the labels
    `texts[text_N]`. The `texts` are distinct.

    Digits, also followed by `.0`, are numbers; `identities.txt` in `folder` may have names for them. If any text is
    something else ("Ann", "1_12", "1e1"), all texts are names. A negative whole number is not a label: its images are
    `UNLABELED` and are counted in a logged warning. Raises DataError if no image has a label, and if different texts
    ("7" and "007") are the same number.
    """
    unlabeled = np.array([is_negative(text) for text in texts], dtype=bool)
    labeled_N = ~unlabeled[text_N]
    warn_of_unlabeled(name, int((~labeled_N).sum()), len(text_N))
    kept = [number for number in range(len(texts)) if not unlabeled[number]]
    numbers = [whole_number(texts[number]) for number in kept]
    whole = [number for number in numbers if number is not None]
    value_of_text = np.full(len(texts), UNLABELED, dtype=np.int64)
    label_N = np.full(len(text_N), UNLABELED, dtype=np.int64)
    if len(whole) == len(kept):
        _require_different_numbers([texts[number] for number in kept], whole, name)
        value_of_text[kept] = whole
        label_N[labeled_N], names, has_names = numbered_identities(value_of_text[text_N[labeled_N]], folder)
        return label_N, names, has_names
    if whole:
        shown = [texts[number] for number, value in zip(kept, numbers, strict=True) if value is None]
        logger.warning(
            "%s: some labels are numbers, others are not (%s), so all are read as names",
            name, ", ".join(map(repr, shown[:5])),
        )  # fmt: skip
    names = sorted(texts[number] for number in kept)
    warn_of_twins(name, names)
    place_of = {text: place for place, text in enumerate(names)}
    value_of_text[kept] = [place_of[texts[number]] for number in kept]
    return value_of_text[text_N], names, True


def warn_of_unlabeled(name: str, count: int, total: int) -> None:
    """Log that `count` of `total` images are left out because their label is −1. Raise DataError if these are all
    images."""
    if not count:
        return
    if count == total:
        raise DataError(
            f"{name}: no image has a label (all are negative); expected a person's number or name for at least "
            "some images"
        )
    logger.warning(
        "%s: images left out because their label is negative, which means an unknown person: %d of %d",
        name,
        count,
        total,
    )


def _require_different_numbers(texts: Sequence[str], numbers: Sequence[int], name: str) -> None:
    """Raise DataError if labels such as "7" and "007" are the same number, because they might be two people ("7" and
    "7.0" are not)."""
    text_of: dict[int, str] = {}
    for text, number in zip(texts, numbers, strict=True):
        digits = text.partition(".")[0]
        if text_of.setdefault(number, digits) != digits:
            raise DataError(
                f"{name}: the labels {text_of[number]!r} and {digits!r} are the same number. If they are one "
                "person, write them in the same way; if they are two people, put a letter before each number"
            )
