"""Text files of nothing but integers, of millions of lines: IJB's template pairs.

Shapes: L lines, C columns, T numbers of one block of text, Y bytes of it.
"""

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


def read_integer_table(path: Path, columns: int) -> NDArray[np.int32]:
    """The numbers (C, L) of a file whose lines each hold `columns` of them, 0 to 999,999,999, between spaces, tabs or
    commas; empty lines are skipped. Raises DataError, naming the file and the first line that holds anything else."""
    parts: list[NDArray[np.int32]] = []
    line = 1
    try:
        with path.open("rb") as file:
            for text in _whole_lines(file, path):
                parts.append(
                    _plain_numbers(text, columns) if _is_plain(text, columns) else _numbers(text, columns, path, line)
                )
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


def _is_plain(text: bytes, columns: int) -> bool:
    """Whether every line has so many numbers with white space between them, and nothing else."""
    bytes_Y = np.frombuffer(text, np.uint8)
    digit_Y = bytes_Y - np.uint8(ord("0")) < 10
    newline_L = np.flatnonzero(bytes_Y == ord("\n"))
    start_T = np.flatnonzero(digit_Y & ~np.append(False, digit_Y[:-1]))
    if len(start_T) != columns * len(newline_L):
        return False
    end_T = np.flatnonzero(digit_Y[:-1] & ~digit_Y[1:]) + 1
    start_LC = start_T.reshape(-1, columns)
    spaces = sum(text.count(space) for space in (b" ", b"\t", b"\r"))
    return bool(
        (start_LC[:, -1] < newline_L).all()
        and (start_LC[1:, 0] > newline_L[:-1]).all()
        and (end_T - start_T).max(initial=0) <= LONGEST_NUMBER
        and np.count_nonzero(digit_Y) + len(newline_L) + spaces == len(text)
    )


def _plain_numbers(text: bytes, columns: int) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.fromstring(text.decode("ascii"), dtype=np.int32, sep=" ").reshape(-1, columns).T)


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
