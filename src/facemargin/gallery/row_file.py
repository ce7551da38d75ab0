"""A file of rows of numbers that only grows: a header of 64 bytes, then rows, memory-mapped to read.

How many rows count, its owner says elsewhere, after they are on the disk; what lies beyond them is left by a process
that was killed, and is written over. Shapes: R rows, W numbers in a row.
"""

import contextlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError, OutputError
from facemargin.files.atomic import PARTIAL, publish

HEADER_BYTES = 64
_BLOCK = 1 << 24


class RowFile:
    """The file at `path`, of rows of `width` numbers of the type `dtype`, such as "<f4"."""

    def __init__(self, path: Path, dtype: str, width: int) -> None:
        self.path, self._dtype, self._width = path, np.dtype(dtype), width
        self._header = f"facemargin rows 1 {dtype} {width}\n".encode().ljust(HEADER_BYTES, b" ")
        self._row_bytes = self._dtype.itemsize * width

    def create(self, rows: NDArray[Any] | None = None) -> None:
        """Write the file anew, with these rows (R, W). OSError where that fails."""
        partial = self.path.with_name(self.path.name + PARTIAL)
        try:
            with partial.open("wb") as file:
                file.write(self._header)
                step = max(1, _BLOCK // self._row_bytes)
                for start in range(0, 0 if rows is None else len(rows), step):
                    assert rows is not None
                    file.write(np.ascontiguousarray(rows[start : start + step], self._dtype).tobytes())
            publish(partial, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise

    def write(self, first: int, rows: NDArray[Any]) -> None:
        """Put rows at number `first` and on, on the disk. Where that fails, nothing stays of them: OutputError."""
        try:
            file = self.path.open("r+b")
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error}; nothing has changed") from error
        try:
            with file:
                file.seek(self._place(first))
                file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self.cut(first)
            raise OutputError(f"cannot write {self.path}: {error}; nothing has changed") from error

    def erase(self, rows_R: NDArray[np.int64]) -> None:
        """Write zeros over rows, on the disk. OSError where that fails."""
        with self.path.open("r+b") as file:
            for row in rows_R.tolist():
                file.seek(self._place(row))
                file.write(bytes(self._row_bytes))
            file.flush()
            os.fsync(file.fileno())

    def cut(self, rows: int) -> None:
        """Take away what lies beyond so many rows, if the system lets one (Windows does not while it is mapped)."""
        with contextlib.suppress(OSError):
            if self.path.stat().st_size > self._place(rows):
                os.truncate(self.path, self._place(rows))

    def mapped(self, rows: int) -> NDArray[Any]:
        """The first `rows` rows (R, W), read-only. DataError, which names the file and the row, if they are not
        there."""
        try:
            with self.path.open("rb") as file:
                header = file.read(HEADER_BYTES)
                size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}; restore it from a copy") from error
        if header != self._header:
            raise DataError(
                f"{self.path} begins with {header[:32]!r}, expected {self._header[:32].rstrip()!r}: it is damaged, or "
                "another gallery's; restore it from a copy"
            )
        if size < self._place(rows):
            whole = max(0, size - HEADER_BYTES) // self._row_bytes
            raise DataError(
                f"{self.path} has {size:,} bytes, expected at least {self._place(rows):,}: it ends before row {whole}; "
                "restore it from a copy"
            )
        if not rows:
            return np.empty((0, self._width), self._dtype)
        return np.memmap(self.path, self._dtype, "r", HEADER_BYTES, (rows, self._width))

    def _place(self, row: int) -> int:
        return HEADER_BYTES + row * self._row_bytes
