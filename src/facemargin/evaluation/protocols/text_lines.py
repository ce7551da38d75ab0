"""Text files of a record a line."""

from collections.abc import Iterator
from pathlib import Path

from facemargin.errors import DataError


def numbered_lines(path: Path, separator: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """(line number, words) of every line that is not empty; words are parted by white space,
    or by `separator`. Raises DataError, naming the file, where it cannot be read, or has no such line."""
    found = False
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    found = True
                    yield number, line.rstrip("\r\n").split(separator)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if not found:
        raise DataError(f"{path} is empty")
