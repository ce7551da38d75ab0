"""The meta files of IJB-B and IJB-C as InsightFace's download has them: a record a line, up to millions of them.

Shapes: N images, K pairs, S templates, L lines, C columns.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import BoolArray, IntArray
from facemargin.files.plain_numbers import decimal_number, is_digits

BYTES_A_BLOCK = 2**22

LONGEST_NUMBER = 9
"""The largest number of digits, which always fits into 32 bits."""

_LONGEST_LINE = 4096  # bytes
_PLAIN = b"0123456789 \t\r\n"

_LARGEST_TABLE = 2**24
_LARGEST_NUMBER = 1e9
_LANDMARK_FIELDS = 12  # image, five times x and y, the detector's score


@dataclass(frozen=True)
class ImageLists:
    """Names of the images in `loose_crop`, and the template and media of each."""

    names: list[str]
    template_N: IntArray
    media_N: IntArray


def read_images(path: Path) -> ImageLists:
    """Read lines of `image template media`. Raises DataError, which names the line, for any other line."""
    names, numbers = [], []
    for line, words in numbered_lines(path):
        if len(words) != 3 or not _are_numbers(words[1:]):
            raise DataError(f"{path} line {line}: {' '.join(words)[:80]!r}, expected `image template media`")
        names.append(words[0])
        numbers.append((int(words[1]), int(words[2])))
    template_N, media_N = np.array(numbers, dtype=np.int64).T
    return ImageLists(names, template_N, media_N)


def read_landmarks(path: Path, names: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The landmarks (N, 5, 2) and detector scores (N,) of the images `names`. The file has lines `image x1 y1 … x5 y5
    score` in the order of `names`. Raises DataError, which names the line, for any other line."""
    values_NF = np.empty((len(names), _LANDMARK_FIELDS - 1), np.float32)
    index = -1
    for index, (line, words) in enumerate(numbered_lines(path)):
        if index >= len(names) or words[0] != names[index]:
            expected = f"image {names[index]!r}" if index < len(names) else "the end of the file"
            raise DataError(
                f"{path} line {line}: image {words[0]!r}, expected {expected}: the order must be that of the list of "
                "templates"
            )
        try:
            if len(words) != _LANDMARK_FIELDS:
                raise ValueError(f"{len(words)} fields")
            numbers = [number for word in words[1:] if (number := decimal_number(word)) is not None]
            if len(numbers) != len(words) - 1 or not all(abs(number) < _LARGEST_NUMBER for number in numbers):
                raise ValueError("a field that is not a number or is out of range")
            values_NF[index] = numbers
        except ValueError as error:
            what = f"{' '.join(words)[:80]!r}, expected `image x1 y1 … x5 y5 score`"
            raise DataError(f"{path} line {line}: {what}") from error
    if index + 1 != len(names):
        raise DataError(f"{path} ends after {counted(index + 1, 'image')}, but the list of templates has {len(names)}")
    return values_NF[:, :10].reshape(-1, 5, 2), values_NF[:, 10]


def read_template_pairs(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]:
    """The two templates (K,) of every pair, and whether they show the same person. The lines are `template1 template2
    label`."""
    first_K, second_K, label_K = read_integer_table(path, 3)
    if label_K.max() > 1:
        line = int(np.argmax(label_K > 1))
        raise DataError(f"{path}: pair {line + 1} has label {label_K[line]}, expected 1 (genuine) or 0 (impostor)")
    return first_K, second_K, label_K.astype(bool)


def read_subjects(path: Path) -> dict[int, int]:
    """{template: subject} of a gallery or probe list, which has an optional header and lines `template,subject,…`, one
    per image.

    Raises DataError, which names the line, for any other line and for a template that has another subject on an earlier
    line.
    """
    subjects: dict[int, int] = {}
    for line, words in numbered_lines(path, separator=","):
        if line == 1 and not _are_numbers([word.strip() for word in words[:2]]):
            continue
        if len(words) < 2 or not _are_numbers([word.strip() for word in words[:2]]):
            raise DataError(f"{path} line {line}: {','.join(words)[:80]!r}, expected numbers `template,subject,…`")
        template, subject = int(words[0]), int(words[1])
        if subjects.setdefault(template, subject) != subject:
            raise DataError(
                f"{path} line {line}: template {template} shows subject {subject}, but {subjects[template]} on an "
                "earlier line"
            )
    if not subjects:
        raise DataError(f"{path} is empty; expected lines `template,subject,…`")
    return subjects


def _are_numbers(words: list[str]) -> bool:
    return all(is_digits(word) and len(word) <= LONGEST_NUMBER for word in words)


def template_rows(ids_S: IntArray, wanted: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """The position of each wanted template in `ids_S` (ascending). Raises DataError, which names `path` and the
    template, for a template that is not in it."""
    if ids_S[-1] < _LARGEST_TABLE and wanted.max() < _LARGEST_TABLE:  # consecutive ids, as in IJB: several times faster
        row_of = np.zeros(max(ids_S[-1], wanted.max()) + 1, dtype=np.int32)
        row_of[ids_S] = np.arange(len(ids_S))
        rows: NDArray[np.int32] = row_of[wanted]
    else:
        rows = np.minimum(np.searchsorted(ids_S, wanted), len(ids_S) - 1).astype(np.int32)
    absent = np.flatnonzero(ids_S[rows] != wanted)
    if len(absent):
        raise DataError(
            f"{path}: template {wanted[absent[0]]} (entry {absent[0] + 1}) has no image in the list of templates"
        )
    return rows


def numbered_lines(path: Path, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, words) of every line that is not empty. Words are separated by white space, or by
    `separator`. Raises DataError, which names the file, if it cannot be read or has no such line."""
    is_empty = True
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    is_empty = False
                    yield number, line.rstrip("\r\n").split(separator)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if is_empty:
        raise DataError(f"{path} is empty")


def read_integer_table(path: Path, columns: int) -> NDArray[np.int32]:
    """The numbers (C, L) of a file whose lines each have `columns` numbers from 0 to 999,999,999, separated by spaces,
    tabs or commas. Empty lines are skipped. Raises DataError, which names the file and the first other line."""
    parts: list[NDArray[np.int32]] = []
    line = 1
    try:
        with path.open("rb") as file:
            for text in _whole_lines(file, path):
                numbers = _plain_numbers(text, columns)
                parts.append(_numbers(text, columns, path, line) if numbers is None else numbers)
                line += text.count(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not sum(part.shape[1] for part in parts):
        raise DataError(f"{path} is empty; expected lines of {columns} numbers")
    return np.concatenate(parts, axis=1)


def _whole_lines(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yields the file in blocks that end with a line break."""
    rest = b""
    while block := file.read(BYTES_A_BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = b""
        rest += block[cut:]
        if len(rest) > max(_LONGEST_LINE, BYTES_A_BLOCK):
            raise DataError(
                f"{path} holds a line of more than {_LONGEST_LINE} bytes; expected a few numbers in each line"
            )
    if rest:
        yield rest + b"\n"


def _plain_numbers(text: bytes, columns: int) -> NDArray[np.int32] | None:
    """The numbers (C, L) of a text of digits and white space. None for any other text, or if the lines have different
    lengths."""
    if text.translate(None, _PLAIN) or not text.strip():
        return None
    try:
        table_LC = np.loadtxt(io.BytesIO(text), dtype=np.int32, comments=None, ndmin=2)
    except (ValueError, OverflowError):
        return None
    if table_LC.shape[1] != columns or table_LC.max() >= 10**LONGEST_NUMBER:
        return None
    return np.ascontiguousarray(table_LC.T)


def _numbers(text: bytes, columns: int, path: Path, first_line: int) -> NDArray[np.int32]:
    """The slow way, line by line, for texts with commas, empty lines or errors."""
    rows = []
    for number, line in enumerate(text.splitlines(), first_line):
        words = line.replace(b",", b" ").split()
        if not words:
            continue
        if len(words) != columns or not all(word.isdigit() and len(word) <= LONGEST_NUMBER for word in words):
            shown = line[:80].decode("utf-8", "replace")
            raise DataError(f"{path} line {number}: {shown!r}, expected {columns} numbers from 0 to 999,999,999")
        rows.append([int(word) for word in words])
    return np.array(rows, dtype=np.int32).reshape(-1, columns).T
