"""Reading a file by byte offset, from any number of threads and processes."""

import os
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)  # Windows takes a file for text otherwise
_POSITION = threading.Lock()  # for Windows, which has no positioned reads


class PositionedFile:
    """The file at `path`, read by offset.

    Safe in threads, forked workers and pickled copies: positioned reads share no file position, and each copy opens
    its own descriptor on first use.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._descriptor: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}

    def read(self, offset: int, length: int) -> bytes:
        """The `length` bytes from `offset` on, fewer where the file ends."""
        if self._descriptor is None:
            self._descriptor = os.open(self.path, _FLAGS)
            weakref.finalize(self, os.close, self._descriptor)
        if sys.platform != "win32":
            return os.pread(self._descriptor, length, offset)
        with _POSITION:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, length)
