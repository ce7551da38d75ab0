"""Names of people for formats that store numbers only: line n of the file `identities.txt` is the name of identity
n."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.files.plain_numbers import is_digits

FILE_NAME = "identities.txt"

logger = logging.getLogger(__name__)


def numbered_identities(numbers_N: NDArray[np.int64], folder: Path) -> tuple[NDArray[np.int64], list[str], bool]:
    """Labels (N,) without gaps for stored identity numbers, the name of each label, and whether these are real names.

    They are real names if `folder` has a file identities.txt with a line for each number. Otherwise the numbers are
    used as names.
    """
    numbers, labels_N = np.unique(numbers_N, return_inverse=True)
    path = folder / FILE_NAME
    if not path.is_file():
        return labels_N, [str(number) for number in numbers], False
    names = path.read_bytes().decode("utf-8-sig", errors="surrogateescape").split("\n")
    if all(name.endswith("\r") for name in names[:-1]):  # line endings of Windows
        names = [name.removesuffix("\r") for name in names]
    if len(numbers) and numbers[-1] >= len(names) - 1:
        logger.warning(
            "%s has names for %d identities, but the data set has identity number %d: the file is ignored",
            path,
            len(names) - 1,
            numbers[-1],
        )
        return labels_N, [str(number) for number in numbers], False
    label_names = [names[number] for number in numbers]
    return labels_N, label_names, not all(map(is_digits, label_names))


def write_identity_names(folder: Path, names: Sequence[str]) -> None:
    """Write identities.txt, unless the names are just the numbers 0, 1, …. Each name is written on one line."""
    if any(name != str(number) for number, name in enumerate(names)):
        text = "".join(one_line(name) + "\n" for name in names)
        (folder / FILE_NAME).write_bytes(text.encode("utf-8", errors="surrogateescape"))


def one_line(name: str) -> str:
    """A name as it is written in identities.txt."""
    return name.replace("\n", " ")
