"""Feeds a reader damaged files, in a process of its own that is watched: memory, time, files, code.

A reader may give what it can of a damaged file, or refuse it with one of facemargin's errors that names it. Anything
else is a failure.
"""

import ctypes
import faulthandler
import gc
import logging
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from facemargin.errors import FacemarginError
from tests.fuzz.guard import Guard
from tests.fuzz.mutations import damaged

SECONDS_AN_INPUT = 5.0
"""Of the processor's time: a busy machine is no fault."""
SECONDS_UNTIL_KILLED = 30
"""A reader that waits for ever, or hangs outside of Python, does not hear the first alarm."""
MORE_MEMORY = 256 << 20
"""Bytes that reading may add to the process; what it may ask for is four times as much."""

if sys.platform != "linux":
    pytest.skip("memory and open files are watched by way of /proc", allow_module_level=True)

_FORK = multiprocessing.get_context("fork")
_TEXTS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".idx", ".conf", ".lst", "property")
_NO_MEMORY = re.compile(r"bad_alloc|unable to allocate|out of memory|not enough memory|cannot allocate", re.IGNORECASE)
TIME = 10**18
"""When all files were changed, in nanoseconds: an index that belongs to a file goes on belonging to it."""


@dataclass(frozen=True)
class Reader:
    """`write` puts real files into an empty folder, `read` reads them as a user's call would and returns the messages
    about single records, if it returns a list. Files that match one of `damages` are damaged. `slow` ones get fewer
    inputs."""

    name: str
    write: Callable[[Path], None]
    read: Callable[[Path], object]
    damages: tuple[str, ...] = ("*",)
    slow: int = 1


@dataclass
class Outcome:
    """How many damaged inputs were read at least in part, how many refused, and what went wrong."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        return self.read + self.refused + len(self.failures)


class TooSlowError(BaseException):
    """Not an Exception: no reader's `except` is to swallow it."""


Prepare = Callable[[int, Path], None]
"""Puts input `number` into an empty folder."""


def fuzz(reader: Reader, count: int, folder: Path, seed: int = 0, most_failures: int = 20) -> Outcome:
    """Read `count` damaged inputs. Those that fail stay in `folder`."""
    originals = folder / "originals"
    originals.mkdir(parents=True)
    reader.write(originals)
    contents = _contents(originals)

    def prepare(number: int, place: Path) -> None:
        rng = random.Random(f"{reader.name} {seed} {number}")
        _write(place, _damaged(reader, contents, rng))

    return watch(reader, prepare, count, folder, most_failures)


def watch(reader: Reader, prepare: Prepare, count: int, folder: Path, most_failures: int = 20) -> Outcome:
    """Read the inputs 0 to `count` that `prepare` makes; where one ends the process, the next go on in another."""
    outcome, start = Outcome(), 0
    while start < count and len(outcome.failures) < most_failures:
        ours, theirs = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_child, args=(reader, prepare, range(start, count), folder, theirs))
        process.start()
        theirs.close()
        number, status, what = _follow(ours, outcome, most_failures)
        if status == "began":
            process.kill()
        process.join()
        if status == "began":
            printed = (folder / "printed").read_text(errors="replace")[-2000:]
            outcome.failures.append(f"input {number}: {what} ({process.exitcode}): {printed}")
            _keep(folder, number)
        start = max(number, start) + 1 if status != "end" else count
    return outcome


def _follow(pipe: Connection, outcome: Outcome, most_failures: int) -> tuple[int, str, str]:
    """Note what a process says of its inputs, up to the last thing that it says."""
    number, status, what = -1, "began", ""
    while status != "end":
        # second by second: a machine that was halted meanwhile has not waited
        if not any(pipe.poll(1.0) for _ in range(SECONDS_UNTIL_KILLED)):
            return number, "began", "hangs"
        try:
            number, status, what = pipe.recv()
        except EOFError:
            return number, "began", "the process died"
        outcome.read += status == "read"
        outcome.refused += status == "refused"
        if status == "failed":
            outcome.failures.append(f"input {number}: {what}")
            if len(outcome.failures) >= most_failures:
                return number, "end", ""
    return number, status, what


def _keep(folder: Path, number: int) -> None:
    shutil.copytree(folder / "input", folder / f"failure_{number}", symlinks=True, ignore=_special, dirs_exist_ok=True)


def _special(folder: str, names: list[str]) -> list[str]:
    """Pipes and the like, and what is large only by its claim."""
    return [name for name in names if (path := Path(folder, name)).is_fifo() or path.stat().st_size > 1 << 28]


def _child(reader: Reader, prepare: Prepare, numbers: range, folder: Path, pipe: Connection) -> None:
    printed = os.open(folder / "printed", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    faulthandler.enable(2)  # pytest's own goes past what was just redirected
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    logging.disable(logging.CRITICAL)
    gc.freeze()  # what the parent has is not gone through again and again
    place = folder / "input"
    _empty(place)
    reader.write(place)
    reader.read(place)  # whatever is imported late, and the memory that reading takes
    gc.collect()
    guard = Guard(folder)
    import resource

    signal.signal(signal.SIGPROF, _raise_too_slow)
    # What the parent freed and kept, and what it once had, would hide as much of what reading takes.
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = _memory("VmHWM")
    resource.setrlimit(resource.RLIMIT_AS, (_memory("VmSize") + 4 * MORE_MEMORY, resource.RLIM_INFINITY))
    sys.addaudithook(guard)
    warnings.simplefilter("error")
    num_open = _num_open_files()
    for number in numbers:
        pipe.send((number, "began", ""))
        _empty(place)
        prepare(number, place)
        guard.active = True
        status, what = _read(reader, place, guard)
        guard.active = False
        if (more := _memory("VmHWM") - before) > MORE_MEMORY:
            status, what = "failed", f"takes {more >> 20} MiB of memory; {status}: {what}"
            before += more
        if status == "failed":
            _keep(folder, number)
        pipe.send((number, status, what))
    gc.collect()
    more = _num_open_files() - num_open
    if more > 8:
        pipe.send((numbers[-1], "failed", f"leaves {more} files open"))
    pipe.send((numbers[-1], "end", ""))
    pipe.close()
    os._exit(0)


def _memory(kind: str) -> int:
    """Bytes of this process's memory: "VmHWM" at its peak, "VmSize" of addresses."""
    return int(re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10  # type: ignore[index]


def _num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _read(reader: Reader, place: Path, guard: Guard) -> tuple[str, str]:
    messages: list[str]
    try:
        signal.setitimer(signal.ITIMER_PROF, SECONDS_AN_INPUT)
        try:
            found = reader.read(place)
            messages, status = found if isinstance(found, list) else [], "read"
        except FacemarginError as error:
            messages, status = [str(error)], "refused"
            if _ran_out_of_memory(error):
                return "failed", f"asks for too much memory: {error!r}"
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except TooSlowError:
        return "failed", f"takes more than {SECONDS_AN_INPUT} s:\n{traceback.format_exc(limit=-12)}"
    except BaseException:
        return "failed", traceback.format_exc()[-3000:]
    if guard.seen:
        seen, guard.seen = guard.seen, []
        return "failed", f"does what no reader should: {seen[:3]}"
    nameless = [message for message in messages if not _names_a_file(message, place)]
    if nameless:
        return "failed", f"does not say which file: {nameless[0]!r}"
    if any("\n" in message.strip() and len(message) > 2000 for message in messages):
        return "failed", f"says too much: {max(messages, key=len)[:2000]!r}"
    return status, ""


def _names_a_file(message: str, place: Path) -> bool:
    """By its name, or, of a file that a damaged list names, by whatever path stands there."""
    return str(place) in message or message.startswith("/") or any(path.name in message for path in place.rglob("*"))


def _ran_out_of_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def _raise_too_slow(*_: object) -> None:
    raise TooSlowError


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def _write(folder: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(TIME, TIME))


def _damaged(reader: Reader, originals: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    contents = dict(originals)
    names = [name for name in originals if any(fnmatch(name, pattern) for pattern in reader.damages)]
    assert names, f"{reader.name}: nothing to damage in {sorted(originals)}"
    for name in rng.sample(names, min(len(names), rng.choice([1, 1, 1, 1, 2]))):
        text = name.endswith(_TEXTS)
        contents[name] = damaged(contents[name], rng, list(originals.values()), text)
        if rng.random() < 0.02:
            del contents[name]
    return contents
