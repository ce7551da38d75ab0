"""A file that grows and can be cut back to an earlier size."""

import os
import weakref
from pathlib import Path

from facemargin.errors import DataError


class AppendFile:
    """The file at `path`, cut off after `size` bytes. Raises DataError if it has fewer.

    It has no buffer, so that bytes which a full disk refuses are not written again when the file is closed.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._file = path.open("r+b" if size else "wb", buffering=0)
        weakref.finalize(self, self._file.close)  # of a conversion that fails
        if os.fstat(self._file.fileno()).st_size < size:
            raise DataError(
                f"{path} is shorter than {size} bytes, so an earlier conversion cannot be continued: delete its "
                "folder and start again"
            )
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
