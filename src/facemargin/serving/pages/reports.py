"""The pages that facemargin report, compare and audit wrote, in folders that the operator named."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from facemargin.errors import ConfigError

_DEEPEST = 4
_MOST = 1000

# What such a page may do: its own styles, scripts and pictures within the file, and nothing beyond it. It cannot send
# anything anywhere, not even here. Its own policy, in the file, says which script it is.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'none'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class ReportFile:
    """`name`: the path within the folder, with slashes; `title`: what the list calls it; `modified`: seconds."""

    name: str
    title: str
    modified: float


class Reports:
    """`folders` by the names under which the pages show them. ConfigError for one that is no folder."""

    def __init__(self, folders: Mapping[str, Path] | None = None) -> None:
        self.folders = dict(folders or {})
        for name, folder in self.folders.items():
            if not folder.is_dir():
                raise ConfigError(f"the reports {name!r} are to be in {folder}, which is no folder")

    def files(self, folder: str) -> list[ReportFile]:
        """The .html files in a folder and those within it, the newest first; at most 1,000."""
        found = [ReportFile(name, _title(name), _time(path)) for name, path in self._paths(folder).items()]
        return sorted(found, key=lambda file: (-file.modified, file.name))

    def read(self, folder: str, name: str) -> bytes | None:
        """The content of one of `files`; None if it is none of them. The name is looked for in the list and never
        becomes a path."""
        path = self._paths(folder).get(name)
        try:
            return None if path is None else path.read_bytes()
        except OSError:
            return None

    def _paths(self, folder: str) -> dict[str, Path]:
        root = self.folders.get(folder)
        found: dict[str, Path] = {}
        if root is None:
            return found
        for place, folders, files in os.walk(root):  # it does not follow links to folders
            within = Path(place).relative_to(root)
            deeper = len(within.parts) < _DEEPEST
            folders[:] = sorted(one for one in folders if deeper and not one.startswith("."))
            for file in sorted(files):
                path = Path(place) / file
                if file.endswith(".html") and len(found) < _MOST and _is_plain(path):
                    found[(within / file).as_posix()] = path
        return found


def _is_plain(path: Path) -> bool:
    """Whether it is a file itself: no link, and nothing that could be read forever."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _title(name: str) -> str:
    """ "runs/a/report.html" as "runs/a", where the file's name says what it is anyway."""
    folder, _, file = name.rpartition("/")
    return folder if folder and file in ("report.html", "index.html") else name.removesuffix(".html")


def _time(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
