"""Text files of nothing but integers, of millions of lines: IJB's template pairs.

Shapes: L lines, C columns.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError

BYTES_A_BLOCK = 2**22

LONGEST_NUMBER = 9
"""Digits: more would not fit into 32 bits."""

_LONGEST_LINE = 4096  # bytes
_PLAIN = b"0123456789 \t\r\n"


def read_integer_table(path: Path, columns: int) -> NDArray[np.int32]:
    """The numbers (C, L) of a file whose lines each hold `columns` of them, 0 to 999,999,999, between spaces, tabs or
    commas; empty lines are skipped. Raises DataError, naming the file and the first line that holds anything else."""
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
    """The file in blocks that end in a line break."""
    rest = b""
    while block := file.read(BYTES_A_BLOCK):
        cut = block.rfind(b"\n") + 1
        if cut:
            yield rest + block[:cut]
            rest = b""
        rest += block[cut:]
        if len(rest) > max(_LONGEST_LINE, BYTES_A_BLOCK):
            raise DataError(f"{path} holds a line of more than {_LONGEST_LINE} bytes; expected a few numbers in each")
    if rest:
        yield rest + b"\n"


def _plain_numbers(text: bytes, columns: int) -> NDArray[np.int32] | None:
    """The numbers (C, L) of a text of digits and white space; None for any other text, or where lines differ."""
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
    """Line by line, for texts that have commas, empty lines, or something wrong with them."""
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
