"""Image lists: text files of paths and labels, one image a line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facemargin.data.folder import ImageFiles
from facemargin.data.identity_names import numbered_identities
from facemargin.data.source import LabelledImages
from facemargin.errors import DataError

LIST_SUFFIXES = (".txt", ".lst", ".tsv")
LIST_NAME = "list.txt"
"""The list in a folder that holds one, and what `facemargin convert` calls it."""
_LARGEST_NUMBER = 2**53


class ListedImages(ImageFiles, LabelledImages):
    """The images that lines `path<TAB>label` or `path label` name; labels are whole numbers or people's names.

    Lines of more columns, separated by tabs, are those of MXNet's .lst (index, label, …, path) and InsightFace's
    (whether aligned, path, label, …). Paths are relative to `root`, by default the list's folder. Raises DataError,
    naming the line, for any other.
    """

    def __init__(self, path: Path | str, root: Path | str | None = None) -> None:
        path = Path(path)
        try:
            lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}") from error
        entries = [_entry(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
        if not entries:
            raise DataError(f"{path} is empty; expected lines `path<TAB>label`")
        super().__init__(path.parent if root is None else root, [name for name, _ in entries])
        self.name = str(path)
        labels = [label for _, label in entries]
        numbers = _whole_numbers(labels)
        if numbers is not None:
            self.labels, self.identity_names, self.has_names = numbered_identities(
                np.array(numbers, dtype=np.int64), path.parent
            )
        else:
            self.identity_names = sorted(set(labels))
            number_of = {name: number for number, name in enumerate(self.identity_names)}
            self.labels = np.array([number_of[label] for label in labels], dtype=np.int64)


def _entry(line: str, where: str) -> tuple[str, str]:
    """The path and the label of a line."""
    columns = line.strip("\r\n").split("\t") if "\t" in line else line.rsplit(maxsplit=1)
    columns = [column.strip() for column in columns]
    if len(columns) < 2 or not all(columns[:2]):
        raise DataError(f"{where}: expected `path<TAB>label`, found {line[:200]!r}")
    if len(columns) == 2:
        return columns[0], columns[1]
    if _is_number(columns[1]):
        return columns[-1], columns[1]
    return columns[1], columns[2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole_numbers(labels: Sequence[str]) -> list[int] | None:
    """The labels as numbers, "3" or "3.000000"; None unless all are whole and not negative."""
    numbers = []
    for label in labels:
        number = float(label) if _is_number(label) else -1.0
        if not (number.is_integer() and 0 <= number < _LARGEST_NUMBER):
            return None
        numbers.append(int(number))
    return numbers
