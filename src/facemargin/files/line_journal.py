"""A journal on disk: lines of JSON by which long work can continue after an interruption.

The first line has the settings on which the results depend; every other one is an entry. An incomplete line comes from
a killed process.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from facemargin.errors import DataError, OutputError
from facemargin.files.locks import hold

Key = TypeVar("Key")


class LineJournal(Generic[Key]):
    """The journal in the file `path`, which is created if it does not exist; one process at a time has it open. If an
    entry was added twice, the last one counts.

    `key_of` says what an entry is called, and raises KeyError, TypeError or ValueError for what is no entry; `kind` is
    what the entries are of; `differ` says in words how the settings of a journal, any JSON, are not these.

    Raises DataError if the file was written with other settings, if it is no such journal, or if another process is
    writing to it, and OutputError if it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, Any],
        key_of: Callable[[Any], Key],
        *,
        kind: str,
        differ: Callable[[Any], str],
    ) -> None:
        self.path = path
        self._key_of, self._kind, self._differ = key_of, kind, differ
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error
        try:
            hold(self._file)
            self._places = self._read_places(json.loads(json.dumps(dict(settings))))
        except BlockingIOError as error:
            self._file.close()
            raise DataError(f"{path}: another process is writing to this file; wait until it ends") from error
        except OSError as error:
            self.close()
            raise OutputError(f"{path} cannot be written: {error.strerror}") from error
        except DataError:
            self._file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(OSError):  # a full disk: what could not be noted was never promised
            self._file.close()

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> list[Key]:
        """What has an entry."""
        return list(self._places)

    def get(self, key: Key) -> Any:
        """The content of an entry; None if there is none."""
        place = self._places.get(key)
        if place is None:
            return None
        self._file.seek(place)
        return json.loads(self._file.readline())

    def add(self, key: Key, content: Mapping[str, Any]) -> None:
        """Add an entry and pass it to the operating system, so that it is not lost if this process is killed. Raises
        OutputError if it cannot be written; earlier entries stay."""
        try:
            place = self._file.seek(0, 2)
            self._file.write(_line(content))
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"{self.path} cannot be written: {error}. Its content is kept: free some space and run the same "
                "command again"
            ) from error
        self._places[key] = place

    def _read_places(self, settings: Any) -> dict[Key, int]:
        """The position of each entry's line in the file. An incomplete last line is removed."""
        self._file.seek(0)
        first = self._file.readline()
        if not first.endswith(b"\n"):
            self._file.truncate(0)
            self._file.write(_line(settings))
            self._file.flush()
            return {}
        places: dict[Key, int] = {}
        try:
            theirs = json.loads(first)
            if theirs == settings:
                end = place = self._file.tell()
                while (line := self._file.readline()).endswith(b"\n"):
                    places[self._key_of(json.loads(line))] = place
                    end = place = self._file.tell()
                self._file.truncate(end)
                return places
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{self.path} is damaged, or is not a journal of {self._kind} ({error!r}): delete it"
            ) from error
        raise DataError(f"{self.path} {self._differ(theirs)}")


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"
