"""The meta files of IJB-B and IJB-C as InsightFace's download has them. Shapes: N images, K pairs, S templates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.pairs import BoolArray, IntArray
from facemargin.evaluation.protocols.integer_table import LONGEST_NUMBER, read_integer_table
from facemargin.evaluation.protocols.text_lines import numbered_lines
from facemargin.files.plain_numbers import decimal_number, is_digits

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
    """`image template media` a line; DataError names the line that is otherwise."""
    names, numbers = [], []
    for line, words in numbered_lines(path):
        if len(words) != 3 or not _are_numbers(words[1:]):
            raise DataError(f"{path} line {line}: {' '.join(words)[:80]!r}, expected `image template media`")
        names.append(words[0])
        numbers.append((int(words[1]), int(words[2])))
    template_N, media_N = np.array(numbers, dtype=np.int64).T
    return ImageLists(names, template_N, media_N)


def read_landmarks(path: Path, names: list[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Landmarks (N, 5, 2) and detector's scores (N,) of the images `names`, which have to come in the same order:
    `image x1 y1 … x5 y5 score` a line. DataError names the line that is otherwise."""
    values_NF = np.empty((len(names), _LANDMARK_FIELDS - 1), np.float32)
    index = -1
    for index, (line, words) in enumerate(numbered_lines(path)):
        if index >= len(names) or words[0] != names[index]:
            expected = f"image {names[index]!r}" if index < len(names) else "the end of the file"
            raise DataError(f"{path} line {line}: image {words[0]!r}, expected {expected}, as in the list of templates")
        try:
            if len(words) != _LANDMARK_FIELDS:
                raise ValueError(f"{len(words)} fields")
            numbers = [number for word in words[1:] if (number := decimal_number(word)) is not None]
            if len(numbers) != len(words) - 1 or not all(abs(number) < _LARGEST_NUMBER for number in numbers):
                raise ValueError("no number, or one out of range")
            values_NF[index] = numbers
        except ValueError as error:
            what = f"{' '.join(words)[:80]!r}, expected `image x1 y1 … x5 y5 score`"
            raise DataError(f"{path} line {line}: {what}") from error
    if index + 1 != len(names):
        raise DataError(
            f"{path} ends after {counted(index + 1, 'image')}, expected {len(names)}, as in the list of templates"
        )
    return values_NF[:, :10].reshape(-1, 5, 2), values_NF[:, 10]


def read_template_pairs(path: Path) -> tuple[NDArray[np.int32], NDArray[np.int32], BoolArray]:
    """Templates (K,) of either side, and whether they are of one person: `template1 template2 label` a line."""
    first_K, second_K, label_K = read_integer_table(path, 3)
    if label_K.max() > 1:
        line = int(np.argmax(label_K > 1))
        raise DataError(f"{path}: pair {line + 1} has label {label_K[line]}, expected 1 (genuine) or 0 (impostor)")
    return first_K, second_K, label_K.astype(bool)


def read_subjects(path: Path) -> dict[int, int]:
    """{template: subject} of a gallery or probe list: perhaps a header, then lines `template,subject,…`, one per image.

    DataError names a line that is otherwise, or that gives a template another subject than a line before.
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
                f"{path} line {line}: template {template} is of subject {subject}, and of {subjects[template]} before"
            )
    if not subjects:
        raise DataError(f"{path} is empty; expected lines `template,subject,…`")
    return subjects


def _are_numbers(words: list[str]) -> bool:
    return all(is_digits(word) and len(word) <= LONGEST_NUMBER for word in words)


def template_rows(ids_S: IntArray, wanted: NDArray[Any], path: Path) -> NDArray[np.int32]:
    """Where each wanted template is in `ids_S` (ascending); DataError, naming `path` and the template, where it is
    nowhere."""
    if ids_S[-1] < _LARGEST_TABLE and wanted.max() < _LARGEST_TABLE:  # as they are in IJB: several times as fast
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
