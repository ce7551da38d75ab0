"""Whether a path still leads to what was opened there: what a process holds open goes on answering when it is gone."""

import os
from pathlib import Path

from facemargin.errors import DataError


class SameFile:
    """What is at `path` now, a file or a folder. OSError if there is nothing."""

    def __init__(self, path: Path) -> None:
        self._path, self._status = path, path.stat()

    def require(self) -> None:
        """DataError once something else is there, or nothing."""
        try:
            if os.path.samestat(self._path.stat(), self._status):
                return
        except OSError:
            pass
        raise DataError(
            f"{self._path} was deleted, or another one was put in its place, after it was opened: open the gallery "
            "again, or start the service again; nothing has changed"
        )
