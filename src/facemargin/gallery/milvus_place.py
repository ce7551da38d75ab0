"""Where a gallery in Milvus is: `milvus:path.db`, a file of Milvus Lite, or `milvus:http://host:19530`, a server."""

import os
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

from facemargin.errors import ConfigError
from facemargin.gallery.same_file import SameFile

PREFIX = "milvus:"
_DEFAULT_NAME = "gallery"


@dataclass(frozen=True)
class MilvusPlace:
    """`uri`: of a server, or the path of a file, where `is_file`; `name`: of the gallery there, of letters, digits and
    underscores."""

    uri: str
    name: str
    is_file: bool

    def __str__(self) -> str:
        return f"{PREFIX}{self.uri}" if self.is_file else f"{PREFIX}{self.uri}/{self.name}"

    @property
    def path(self) -> Path:
        return Path(self.uri)


def is_milvus(path: Path | str) -> bool:
    """Whether this is a gallery in Milvus."""
    return str(path).startswith(PREFIX)


def milvus_place(path: Path | str) -> MilvusPlace:
    """Raises ConfigError for what is neither a file of Milvus Lite nor the address of a server."""
    given = str(path).removeprefix(PREFIX)
    server = re.fullmatch(r"(https?):/+([^/@\s]+)(?:/([^/]*))?/?", given)  # a Path has made one slash of two
    if server:
        scheme, host, name = server[1], server[2], server[3] or _DEFAULT_NAME
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
            raise ConfigError(
                f"{path}: the gallery's name is {name!r}, expected letters, digits and underscores, not beginning with "
                "a digit"
            )
        return MilvusPlace(f"{scheme}://{host}", name, is_file=False)
    if not given.endswith(".db") or re.match(r"\w+:/", given):
        raise ConfigError(
            f"{path} is no gallery in Milvus: expected milvus:PATH.db, a file of Milvus Lite, or "
            "milvus:http://HOST:19530 or milvus:http://HOST:19530/NAME, a server; a token goes into the environment "
            "variable MILVUS_TOKEN"
        )
    return MilvusPlace(given, _DEFAULT_NAME, is_file=True)


def token() -> str:
    """What lets one into a server, from the environment: an address with a password in it would end in logs."""
    return os.environ.get("MILVUS_TOKEN", "")


@dataclass
class _Open:
    """A file of Milvus Lite that this process has open: so many times, who changes it, and what it was."""

    times: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)
    same: SameFile | None = None


_OPEN: dict[Path, _Open] = {}  # pymilvus keeps one server a file and process, too, and never stops it by itself
_OPEN_LOCK = threading.Lock()


def enter_file(path: Path) -> threading.RLock:
    """Note that a file is opened once more; returns the lock of the threads that change it."""
    with _OPEN_LOCK:
        opened = _OPEN.setdefault(path.resolve(), _Open())
        opened.times += 1
        return opened.lock


def note_file(place: MilvusPlace) -> None:
    """The file is there now: from here on it has to stay."""
    opened = _OPEN.get(place.path.resolve()) if place.is_file else None
    if opened is not None and opened.same is None:
        opened.same = SameFile(place.path)


def require_same_file(place: MilvusPlace) -> None:
    """DataError if the file that this process has open is gone, or another is there: Milvus Lite goes on answering."""
    opened = _OPEN.get(place.path.resolve()) if place.is_file else None
    if opened is not None and opened.same is not None:
        opened.same.require()


def leave_file(path: Path) -> None:
    """Let go of a file: after the last time another process can open it."""
    with _OPEN_LOCK:
        opened = _OPEN[path.resolve()]
        opened.times -= 1
        if opened.times == 0:
            del _OPEN[path.resolve()]
            from milvus_lite.server_manager import server_manager_instance

            server_manager_instance.release_server(str(path))
