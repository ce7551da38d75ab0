"""Who searched, enrolled or removed whom, and when: a file of JSON lines that is only added to."""

import json
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facemargin.errors import OutputError


class AuditLog:
    """The file at `path`. OutputError if it cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            # O_APPEND: lines of several processes do not overwrite each other, and nothing earlier changes
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise OutputError(f"cannot write the audit log {path}: {error.strerror}") from error

    def write(self, **entry: Any) -> None:
        """Add a line, and flush it to the disk. OutputError if that fails."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **entry}, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._file, line) :]
                os.fsync(self._file)
            except OSError as error:
                raise OutputError(f"cannot write the audit log {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
