"""The log of a service: a line of JSON for each event, without pictures, vectors or names of people."""

import json
import logging
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger("facemargin.serving")

_local = threading.local()


class JsonLines(logging.Formatter):
    """One line of JSON a record. Of an exception it has the kind and the places in the code, but not the message and
    no values, which may be anybody's."""

    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": now, "level": record.levelname.lower()}
        line |= getattr(record, "event", None) or {"event": "message", "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["at"] = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
        return json.dumps(line, ensure_ascii=False, default=str)


def log_event(event: str, level: int = logging.INFO, exc_info: Any = None, **fields: Any) -> None:
    """Log an event with its fields."""
    logger.log(level, event, extra={"event": {"event": event, **fields}}, exc_info=exc_info)


class _Notes(logging.Handler):
    """Keeps what the library warns of while a request is worked on, for its answer."""

    def emit(self, record: logging.LogRecord) -> None:
        notes = getattr(_local, "notes", None)
        if notes is not None and record.name != logger.name:
            notes.append(record.getMessage())


_HANDLER = _Notes(logging.WARNING)


@contextmanager
def noted() -> Iterator[list[str]]:
    """What the library warns of in this thread, such as pictures that were squashed, so that the client hears it."""
    library = logging.getLogger("facemargin")
    if _HANDLER not in library.handlers:
        library.addHandler(_HANDLER)
    notes: list[str] = []
    _local.notes = notes
    try:
        yield notes
    finally:
        _local.notes = None
