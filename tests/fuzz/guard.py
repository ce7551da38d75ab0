"""Seeing what readers do beside reading."""

import os
import sys
from pathlib import Path
from typing import Any

_MAKERS = ("/dataclasses.py", "/collections/__init__.py", "/torch/fx/graph_module.py")
_NEVER = (
    *(
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.spawn",
        "os.startfile",
        "os.kill",
        "os.putenv",
        "os.chown",
    ),
    *("subprocess.", "socket.", "pty.", "webbrowser.", "ftplib.", "http.", "smtplib.", "urllib."),
    *("pickle.find_class", "ctypes.call_function"),
)
_CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "shutil.",
)


class Guard:
    """An audit hook that notes what readers have no business to do: run code, start processes, use the network, let
    Python unpickle, write outside of the folder."""

    def __init__(self, folder: Path) -> None:
        self.active = False
        self.seen: list[str] = []
        self._folder = str(folder)
        self._trusted = (sys.prefix, sys.base_prefix, *(str(Path(p).resolve()) for p in sys.path if p), "<frozen")

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event.startswith(_NEVER):
            self.seen.append(f"{event} {arguments!r}"[:300])
        elif event.startswith(_CHANGES):
            if not all(self._is_inside(one) for one in arguments if isinstance(one, str | bytes | os.PathLike)):
                self.seen.append(f"{event} {arguments!r}"[:300])
        elif event == "open":
            path, mode, flags = arguments
            writes = bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND)) if flags else False
            if (writes or (mode and set(mode) & set("wax+"))) and not self._is_inside(path):
                self.seen.append(f"open {path!r} {mode!r} {flags}")
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if not name.startswith(self._trusted) and not _is_of_a_library():
                self.seen.append(f"exec {name!r}")

    def _is_inside(self, path: object) -> bool:
        if isinstance(path, int):  # an open file
            return True
        return str(Path(os.fsdecode(path)).absolute()).startswith(self._folder)  # type: ignore[arg-type]


def _is_of_a_library() -> bool:
    """Whether dataclasses, named tuples, torch.fx or an import, which all run text of their own, are at work."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib") or frame.f_code.co_filename.endswith(_MAKERS):
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
