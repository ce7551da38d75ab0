"""A file that grows, and can be cut back to where it was."""

import os
import weakref
from pathlib import Path

from facemargin.errors import DataError


class AppendFile:
    """The file at `path`, cut off after `size` bytes; raises DataError where it has fewer.

    Without a buffer: what a full disk refuses is not tried again when the file is closed.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._file = path.open("r+b" if size else "wb", buffering=0)
        weakref.finalize(self, self._file.close)  # of a conversion that fails
        if os.fstat(self._file.fileno()).st_size < size:
            raise DataError(f"{path} is shorter than {size} bytes: delete the folder it is in and start again")
        self._file.truncate(size)
        self._file.seek(size)

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.size += len(content)

    def sync(self) -> None:
        """Flush to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self.sync()
        self._file.close()
