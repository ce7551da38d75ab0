"""Writes files completely or not at all, even if the process is killed or the disk is full."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from facemargin.errors import OutputError

#: what the name of a file ends with that is not whole yet
PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write(temporary path)`, flush, and rename to `path`, so that the file is written completely or not at all.

    Folders are made as needed. Raises OutputError naming `path` if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        publish(temporary, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        _remove(temporary)


def publish(temporary: Path, path: Path) -> None:
    """Flush what was written to `temporary` to the disk and give it its name; OSError where that fails."""
    flush(temporary)
    temporary.replace(path)
    _flush_names(path.parent)


def flush(path: Path) -> None:
    """Flush what was written to the file `path` to the disk; OSError where that fails."""
    with path.open("r+b") as file:  # Windows flushes only what may be written to
        os.fsync(file.fileno())


def flush_all(folder: Path) -> None:
    """Flush every file under `folder` to the disk; OSError where that fails."""
    if sys.platform != "win32":
        os.sync()  # syncing many small files one by one would take far longer
        return
    for path in folder.rglob("*"):
        if path.is_file():
            flush(path)


def write_text_atomically(path: Path, text: str) -> None:
    """`write_atomically` for text, in UTF-8, with the same bytes on every system."""
    write_atomically(path, lambda temporary: temporary.write_bytes(text.encode()))


def remove_partial_files(folder: Path) -> None:
    """Delete partial files that a killed process has left in `folder`."""
    for path in folder.glob(f".*{PARTIAL}"):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder without write permission has no files of this package
        path.unlink()


def _flush_names(folder: Path) -> None:
    """Flush which files there are in `folder`."""
    if sys.platform == "win32":
        return  # it opens no folder; its file system keeps a journal of names
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
