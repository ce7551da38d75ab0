"""Who searched, enrolled or removed whom, and when: a file of JSON lines that is only added to."""

import json
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facemargin.errors import OutputError
from facemargin.serving.logs import log_event


class AuditLog:
    """The file at `path`. OutputError if it cannot be written. A file that was moved or deleted meanwhile, as when logs
    are rotated, is followed by a new one, so that no line goes where nobody finds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock, self._torn = threading.Lock(), False
        try:
            self._file = self._opened()
        except OSError as error:
            raise OutputError(f"cannot write the audit log {path}: {error.strerror}") from error

    def _opened(self) -> int:
        # O_APPEND: lines of several processes do not overwrite each other, and nothing earlier changes
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _open_again_if_moved(self) -> None:
        try:
            is_there = os.path.samestat(self.path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            is_there = False
        if not is_there:
            new = self._opened()
            os.close(self._file)
            self._file, self._torn = new, False
            log_event(
                "audit_log_moved", logging.WARNING, message=f"{self.path} was moved or deleted: a new one is begun"
            )

    def write(self, **entry: Any) -> None:
        """Add a line, and flush it to the disk. OutputError if that fails."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **entry}, ensure_ascii=True).encode() + b"\n"
        with self._lock:
            try:
                self._open_again_if_moved()
                line = b"\n" * self._torn + line  # what a full disk broke off is a line of its own
                while line:
                    line = line[os.write(self._file, line) :]
                    self._torn = bool(line)
                os.fsync(self._file)
            except OSError as error:
                raise OutputError(f"cannot write the audit log {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)
