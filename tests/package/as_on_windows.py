"""Windows, as far as Linux can show it, in this process and those that it starts.

What imports `sitecustomize` from a folder of `environment_of` runs with what Windows has not: modules, functions and
signals. It finds what Windows refuses, too: to rename, replace or remove a file that is open (or a folder that holds
one), to rename to a name that is taken, to open a folder, to flush what was opened for reading.
"""

import contextlib
import errno
import importlib.abc
import importlib.machinery
import os
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
ABSENT_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
_ABSENT_IN_OS = {"fork", "forkpty", "pread", "preadv", "pwrite", "sync", "setpgrp", "setsid", "getpgid", "killpg"}
_ABSENT_IN_OS |= {"getuid", "geteuid", "uname", "sched_getaffinity", "sysconf", "statvfs", "mkfifo", "O_DIRECTORY"}
_SIGNALS = {"SIGABRT", "SIGFPE", "SIGILL", "SIGINT", "SIGSEGV", "SIGTERM", "SIG_DFL", "SIG_IGN"}


def environment_of(folder: Path) -> dict[str, str]:
    """What a process's environment needs to be as on Windows; `folder` is made for it."""
    folder.mkdir()
    start = f"import sys; sys.path.append({str(REPOSITORY)!r})\nfrom tests.package import as_on_windows\n"
    (folder / "sitecustomize.py").write_text(start + "as_on_windows.begin()\n", encoding="utf-8")
    paths = [str(folder), os.environ.get("PYTHONPATH", str(REPOSITORY / "src"))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "cp1252"}


def begin() -> None:
    import fcntl
    import multiprocessing
    import subprocess  # noqa: F401  it asks for msvcrt, to know where it is

    multiprocessing.set_start_method("spawn")
    sys.modules["msvcrt"] = _msvcrt(fcntl)
    for name in ABSENT_MODULES:
        sys.modules.pop(name, None)
    sys.meta_path.insert(0, _Finder())
    os.fsync = _only_of_writable(os.fsync)
    for name in ("rename", "replace", "unlink", "remove", "rmdir"):
        setattr(os, name, _only_closed(name, getattr(os, name)))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds no module that Windows has not, and gives those of facemargin an `os`, a `sys` and a `signal` as there."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name in ABSENT_MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        spec = importlib.machinery.PathFinder.find_spec(name, path) if name.startswith("facemargin.") else None
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        for name, made in {"os": _os, "sys": _sys, "signal": _signal}.items():
            if isinstance(vars(module).get(name), types.ModuleType):
                setattr(module, name, made())


class _Namespace(types.ModuleType):
    def __init__(self, module: types.ModuleType, absent: set[str], **others: Any) -> None:
        super().__init__(module.__name__)
        self.__dict__["_module"], self.__dict__["_absent"] = module, absent
        self.__dict__.update(others)

    def __getattr__(self, name: str) -> Any:
        if name in self._absent:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")
        return getattr(self._module, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._module, name, value)


def _os() -> _Namespace:
    return _Namespace(os, _ABSENT_IN_OS, name="nt", open=_open_file)


def _sys() -> _Namespace:
    return _Namespace(sys, set(), platform="win32")


def _signal() -> _Namespace:
    return _Namespace(signal, {name for name in dir(signal) if name.startswith("SIG")} - _SIGNALS)


def _open_file(path: Any, *arguments: Any, **options: Any) -> int:
    if os.path.isdir(path):  # noqa: PTH112
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return os.open(path, *arguments, **options)


def _only_of_writable(fsync: Callable[[int], None]) -> Callable[[int], None]:
    def checked(descriptor: int) -> None:
        flags = Path(f"/proc/self/fdinfo/{descriptor}").read_text().split()[3]
        if int(flags, 8) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        fsync(descriptor)

    return checked


def _only_closed(name: str, function: Callable[..., None]) -> Callable[..., None]:
    def checked(path: Any, *arguments: Any, **options: Any) -> None:
        whole = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        taken = [whole, *(os.path.abspath(os.fsdecode(other)) for other in arguments[: name == "replace"])]  # noqa: PTH100
        for opened in _open_paths():
            if opened in taken or opened.startswith(f"{whole}/"):
                raise PermissionError(errno.EACCES, "The process cannot access the file: it is open", opened)
        if name == "rename" and os.path.lexists(arguments[0]):
            raise FileExistsError(errno.EEXIST, "Cannot create a file when that file already exists", arguments[0])
        function(path, *arguments, **options)

    return checked


def _open_paths() -> set[str]:
    """The files that this process has open, or mapped into its memory."""
    mapped = {line.split(maxsplit=5)[-1].strip() for line in Path("/proc/self/maps").read_text().splitlines()}
    opened = set()
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError):  # that of the listing
            opened.add(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
    return opened | mapped


def _msvcrt(fcntl: types.ModuleType) -> types.ModuleType:
    module = types.ModuleType("msvcrt")

    def locking(descriptor: int, mode: int, count: int) -> None:
        """Locks `count` bytes from the file's position on, for this process alone."""
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, count, 0, os.SEEK_CUR)
        except OSError as error:
            raise PermissionError(errno.EACCES, "Permission denied") from error

    module.LK_NBLCK, module.locking = 2, locking
    return module
