"""Lets one process at a time write to a gallery, and says which one does."""

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from facemargin.errors import OutputError
from facemargin.files.locks import hold

LOCK_FILE = "writer.lock"


@contextmanager
def writing(folder: Path, doing: str) -> Iterator[None]:
    """Hold the lock of the gallery in `folder` while `doing` something. OutputError, which names the process that
    writes, if another one holds it, and if the folder cannot be written."""
    path = folder / LOCK_FILE
    try:
        file = path.open("a+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from error
    with file:
        try:
            hold(file)
        except BlockingIOError as error:
            raise OutputError(
                f"{folder} is being written by {_holder(path)}, and only one process at a time can: wait until it is "
                "done, and run this again; nothing has changed"
            ) from error
        except OSError as error:
            raise OutputError(f"{folder} cannot be locked: {error.strerror}; keep it on a local disk") from error
        now = {"process": os.getpid(), "host": platform.node(), "doing": doing, "program": Path(sys.argv[0]).name}
        try:
            file.truncate(0)
            file.write(json.dumps(now | {"since": datetime.now(UTC).isoformat(timespec="seconds")}).encode())
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error}; nothing has changed") from error
        yield


def _holder(path: Path) -> str:
    try:
        found = json.loads(path.read_bytes())
        return (
            f"process {int(found['process'])} on {found['host']!s:.60} ({found['program']!s:.60}, "
            f"{found['doing']!s:.60}, since {found['since']!s:.40})"
        )
    except (OSError, ValueError, LookupError, TypeError):  # it has not yet said who it is
        return "another process"
