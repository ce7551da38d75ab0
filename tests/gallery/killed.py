"""Kills a process at one exact moment of what it does."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_OURS = f"{os.sep}facemargin{os.sep}gallery{os.sep}"


def events_of(act: Callable[[], object]) -> int:
    """How many moments there are in `act`: calls that the gallery's code makes, before and after each, and the steps of
    SQLite within them."""
    return _in_child(act, None)


def kill_at(act: Callable[[], object], moment: int) -> None:
    """Do `act` in a forked process, which kills itself (SIGKILL) at that moment."""
    _in_child(act, moment)


def _in_child(act: Callable[[], object], moment: int | None) -> int:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.close(ours)
            count = 0

            def happen(frame, event, argument) -> None:
                nonlocal count
                if _OURS in frame.f_code.co_filename:
                    count += 1
                    if count == moment:
                        os.kill(os.getpid(), signal.SIGKILL)

            sys.setprofile(happen)
            act()
            sys.setprofile(None)
            os.write(theirs, str(count).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(theirs)
    with os.fdopen(ours) as file:
        said = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == (0 if moment is None else -signal.SIGKILL), f"{status} at {moment}"
    return int(said) if moment is None else 0


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
