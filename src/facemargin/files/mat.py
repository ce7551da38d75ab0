"""Lists in MATLAB's .mat files (version 5 to 7): numbers, texts, and cell arrays of them.

A reader of our own, as SciPy's crashes the process on some damaged files. Format: MathWorks, "MAT-File Format"
(R2019b): a header of 128 bytes, then elements of a tag (type, bytes) and data padded to 8 bytes; an array is an element
of elements (flags, dimensions, name, content), which may be deflated.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError

_LARGEST_FILE = 2**26
_LARGEST_CONTENT = 2**27  # bytes that the deflated parts of a file may inflate to

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CELL, _CHAR, _NUMERIC = 1, 4, range(6, 16)
_DEEPEST_CELL = 3
_LONGEST_NAME = 255


def read_mat(path: Path, *variables: str) -> list[Any]:
    """The `variables` of a file: an array of numbers, a text, or an object array of these for a cell array, in
    MATLAB's shape. Raises DataError, naming the file, where one is missing or anything is damaged."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise DataError(f"{path} has {path.stat().st_size} bytes, expected a list of file names of less than 64 MB")
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if content[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise DataError(f"{path} is a file of MATLAB 7.3 (HDF5), which cannot be read: save it again with -v7")
    if content[124:128] not in (b"\x00\x01IM", b"\x01\x00MI"):
        raise DataError(f"{path} is not a MATLAB file of version 5 to 7: its header is {content[124:128]!r}")
    try:
        values_by_name = _variables(content[_HEADER_BYTES:], "<" if content[126:128] == b"IM" else ">", set(variables))
    except (_DamagedError, struct.error, UnicodeDecodeError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {error}") from error
    absent = [name for name in variables if name not in values_by_name]
    if absent:
        raise DataError(f"{path} has no variable {absent[0]!r}; expected {', '.join(variables)}")
    return [values_by_name[name] for name in variables]


def names_of(cells: Any, path: Path, variable: str) -> NDArray[Any]:
    """A cell array of file names as an array of texts of the same shape. DataError names the cell that holds anything
    else, or a name that leads out of its folder."""
    if not isinstance(cells, np.ndarray) or cells.dtype != object:
        raise DataError(f"{path}: {variable} is not a cell array, expected a cell array of file names")
    texts = np.empty(cells.size, dtype=object)
    for index, cell in enumerate(cells.ravel()):
        while isinstance(cell, np.ndarray) and cell.dtype == object and cell.size == 1:
            cell = cell.ravel()[0]
        if (
            not isinstance(cell, str)
            or Path(cell).name != cell
            or cell in ("", "..")
            or not cell.isprintable()
            or len(cell) > _LONGEST_NAME
        ):
            raise DataError(f"{path}: {variable} {index + 1} is {str(cell)[:80]!r}, expected the name of a file")
        texts[index] = cell
    return texts.reshape(cells.shape)


def ids_of(values: Any, path: Path, variable: str, count: int) -> NDArray[np.int64]:
    """Identity numbers (count,); DataError where they are not whole numbers, or not so many."""
    numbers = np.asarray(values)
    whole = numbers.dtype.kind in "iu" or (numbers.dtype.kind == "f" and bool((numbers % 1 == 0).all()))
    if not whole or numbers.size != count:
        raise DataError(
            f"{path}: {variable} has shape {numbers.shape} of {numbers.dtype}, expected {count} whole numbers"
        )
    return numbers.ravel().astype(np.int64)


class _DamagedError(Exception):
    """What is wrong with a file."""


def _variables(content: bytes, order: str, wanted: set[str]) -> dict[str, Any]:
    values_by_name: dict[str, Any] = {}
    room = _LARGEST_CONTENT
    for kind, data in _elements(content, order):
        if kind == _COMPRESSED:
            inflated = zlib.decompressobj().decompress(data, room)
            room -= len(inflated)
            if room <= 0:
                raise _DamagedError(f"it inflates to more than {_LARGEST_CONTENT // 2**20} MB")
            kind, data = next(_elements(inflated, order), (0, b""))
        if kind == _MATRIX:
            name, value = _array(data, order, wanted, 0)
            if name in wanted:
                values_by_name[name] = value
    return values_by_name


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, data) of every element."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start, step = place + 8, size if kind == _COMPRESSED else size + -size % 8
        if kind >> 16:  # a small element: type and size share four bytes, four of data follow
            size, kind = kind >> 16, kind & 0xFFFF
            start, step = place + 4, 4
        if size > step or start + size > len(content):
            raise _DamagedError(f"an element of {size} bytes where {len(content) - start} are left")
        yield kind, content[start : start + size]
        place = start + step


def _array(data: bytes, order: str, wanted: set[str] | None, depth: int) -> tuple[str, Any]:
    """Name and value of an array; the value is None if the name is not among those `wanted` (None: any)."""
    if not data:  # how MATLAB writes an empty cell
        return "", np.empty((0, 0))
    parts = _elements(data, order)
    flags, dims, name = (_part(parts) for _ in range(3))
    kind = struct.unpack_from(f"{order}I", flags[1])[0]
    shape = tuple(np.frombuffer(dims[1][: len(dims[1]) // 4 * 4], f"{order}i4").tolist())
    text = name[1].decode("latin-1")
    if wanted is not None and text not in wanted:
        return text, None
    count = math.prod(shape)
    if len(shape) < 2 or min(shape) < 0 or count > len(data) or kind & 0x800:
        raise _DamagedError(f"{text or 'a cell'} is complex, or of shape {shape}, which {len(data)} bytes cannot hold")
    kind &= 0xFF
    if kind == _CELL and depth < _DEEPEST_CELL:
        cells = np.empty(count, dtype=object)
        for index in range(count):
            cells[index] = _array(_part(parts, _MATRIX)[1], order, None, depth + 1)[1]
        return text, cells.reshape(shape, order="F")
    if kind == _CHAR:
        return text, _text(*_part(parts), order, shape) if count else ""
    if kind in _NUMERIC:
        return text, _numbers(*_part(parts), order, shape)
    raise _DamagedError(f"{text or 'a cell'} is of class {kind}, expected numbers, texts or cells of them")


def _part(parts: Iterator[tuple[int, bytes]], kind: int | None = None) -> tuple[int, bytes]:
    part = next(parts, None)
    if part is None or (kind is not None and part[0] != kind):
        raise _DamagedError("an array ends early")
    return part


def _numbers(kind: int, data: bytes, order: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if kind not in _NUMBERS or len(data) != math.prod(shape) * int(_NUMBERS[kind][1]):
        raise _DamagedError(f"numbers of type {kind} in {len(data)} bytes do not have shape {shape}")
    return np.frombuffer(data, order + _NUMBERS[kind]).reshape(shape, order="F")


def _text(kind: int, data: bytes, order: str, shape: tuple[int, ...]) -> str:
    if kind not in _TEXTS or shape[0] != 1:
        raise _DamagedError(f"a text of type {kind} and shape {shape}, expected one line")
    wide = _TEXTS[kind] in ("utf-16", "utf-32")
    return data.decode(_TEXTS[kind] + (("-le" if order == "<" else "-be") if wide else ""))
