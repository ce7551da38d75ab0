"""From one format of data set to another: every image's bytes as they are, checked, and resumed after a kill.

What is being written lies in `<destination>.partial`, beside a journal of how far it is good. It gets its name when it
has been read back and is what was written. Shapes: N images that were written.
"""

import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.images.common_kind import in_common_kind
from facemargin.data.images.decode import decode_image
from facemargin.data.open import open_images
from facemargin.data.source import LabeledImages
from facemargin.data.writers import WRITERS
from facemargin.data.writers.append_file import AppendFile
from facemargin.errors import DataError, ImageError, OutputError
from facemargin.files.atomic import remove_partial_files, write_text_atomically
from facemargin.files.locks import hold

Report = Callable[[int, int], None]
"""Called with images done and images in all."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""Shows how far what it is called with, "converting" or "reading back", has got."""

_SECONDS_BETWEEN_COMMITS = 2.0
_REPORT_EVERY = 32
_JOURNAL = ".conversion"
_JOURNAL_FILE = "journal.json"
_ENTRY = np.dtype([("position", "<i8"), ("digest", "<u8", 2)])


@dataclass(frozen=True)
class Conversion:
    """How many images were written, how many of them before this process, what is wrong with each that was not, and how
    many became PNG because they were of a rare kind."""

    num_images: int
    num_before: int
    corrupt: list[str]
    num_as_png: int = 0


def convert(source: LabeledImages, destination: Path, to: str, progress: Progress) -> Conversion:
    """Write `source` to the folder `destination` in the format `to`, and read it back.

    Corrupt images are left out. An interrupted conversion goes on where it was when it is called again. Raises
    DataError, and leaves what is there, where the destination exists, cannot be written, or belongs to another
    conversion, and where reading it back gives anything else than was written.
    """
    if destination.name in ("", ".."):  # what is written would take the place of the folder that one stands in
        raise DataError(f"{destination} is no name for a new folder; expected one such as {destination / to}")
    try:
        if (destination / _JOURNAL).is_dir() and (finished := _tidied(destination, _task(source, to))):
            return finished
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise DataError(f"{destination} exists already; name another destination, or move it away")
        partial = destination.with_name(destination.name + ".partial")
        if partial.exists() and not (partial / _JOURNAL).is_dir() and any(partial.iterdir()):
            raise DataError(f"{partial} is in the way and not of a conversion; move it away")
        (partial / _JOURNAL).mkdir(parents=True, exist_ok=True)
        with _locked(partial) as lock:
            remove_partial_files(partial)
            run = _Run(source, partial, to)
            with progress("converting") as report:
                run.write(report)
            with progress("reading back") as report:
                run.verify(report)
            run.note_as_complete()
            _let_go_on_windows(lock)
            if destination.exists():
                destination.rmdir()  # Windows renames to no name that is taken
            partial.rename(destination)
            _remove_journal(destination)
    except (OSError, OutputError) as error:
        raise OutputError(
            f"cannot write {destination}: {error}. What is good is kept in {destination}.partial: mend that (if the "
            "disk is full, free some space) and run the same command again to go on"
        ) from error
    return Conversion(len(run.entries_N), run.num_before, list(run.corrupt.values()), len(run.as_png))


class _Run:
    """One process's part in a conversion."""

    def __init__(self, source: LabeledImages, partial: Path, to: str) -> None:
        self.source, self.partial = source, partial
        by_person = WRITERS[to].groups_people and source.blocks is None
        order = np.argsort(source.labels, kind="stable") if by_person else np.arange(len(source))
        self.order: NDArray[np.int64] = order
        self.task = _task(source, to)
        journal = self._load_journal()
        self.corrupt: dict[int, str] = {int(key): text for key, text in journal["corrupt"].items()}
        self.as_png: set[int] = set(journal.get("as_png", ()))
        self.num_before: int = journal["images"]
        self.log = AppendFile(partial / _JOURNAL / "images", self.num_before * _ENTRY.itemsize)
        self.entries_N = np.fromfile(self.log.path, dtype=_ENTRY)
        grouped = bool((np.diff(source.labels[order]) >= 0).all())
        self.writer = WRITERS[to](partial, source.identity_names, grouped, journal["writer"])

    def write(self, report: Report) -> None:
        names = [name.encode(errors="surrogatepass") for name in self.writer.stored_names]
        new: list[tuple[int, Any]] = []
        start = int(self.entries_N["position"][-1]) + 1 if self.num_before else 0
        committed = time.monotonic()
        for position in range(start, len(self.order)):
            index = int(self.order[position])
            try:
                encoded, suffix = self._checked(position)
            except ImageError as error:
                self.corrupt[position] = str(error)
            else:
                label = int(self.source.labels[index])
                self.writer.add(self.num_before + len(new), label, encoded, suffix)
                new.append((position, _digest(names[label], encoded)))
            if time.monotonic() - committed > _SECONDS_BETWEEN_COMMITS:
                self._commit(new)
                committed = time.monotonic()
            if position % _REPORT_EVERY == 0:
                report(position, len(self.order))
        self.entries_N = np.concatenate([self.entries_N, np.array(new, dtype=_ENTRY)])
        if len(self.entries_N) == 0:
            raise DataError(f"{self.source.name}: not one of {counted(len(self.order), 'image')} can be read")
        self.writer.finish(self.source.labels[self.order[self.entries_N["position"]]])

    def verify(self, report: Report) -> None:
        """Read what was written, with the reader that everyone uses, and compare."""
        written = open_images(self.partial)
        names = [name.encode(errors="surrogatepass") for name in written.identity_names]
        total = np.zeros(2, dtype=np.uint64)
        for index in range(len(written)):
            total += np.array(_digest(names[written.labels[index]], written.read_encoded(index)), dtype=np.uint64)
            if index % _REPORT_EVERY == 0:
                report(index, len(written))
        if len(written) != len(self.entries_N) or not np.array_equal(total, self.entries_N["digest"].sum(axis=0)):
            raise DataError(
                f"{self.partial}: {len(self.entries_N)} images were written, but what is read back "
                f"({counted(len(written), 'image')}) is not the same; delete it and try again, perhaps on another disk"
            )

    def note_as_complete(self) -> None:
        """Let the journal say that all is written and read back, for a process killed before it has removed it."""
        self.log.close()
        path = self.partial / _JOURNAL / _JOURNAL_FILE
        complete = {
            "images": len(self.entries_N),
            "corrupt": list(self.corrupt.values()),
            "as_png": len(self.as_png),
        }
        write_text_atomically(path, json.dumps(json.loads(path.read_bytes()) | {"complete": complete}))

    def _checked(self, position: int) -> tuple[bytes, str]:
        """An image's bytes, which can be decoded, in a common kind, and their suffix."""
        index = int(self.order[position])
        encoded, where = self.source.read_encoded(index), self.source.describe(index)
        encoded, suffix, is_changed = in_common_kind(encoded, where, decode_image(encoded, where))
        if is_changed:
            self.as_png.add(position)
        return encoded, suffix

    def _commit(self, new: list[tuple[int, Any]]) -> None:
        """Note in the journal what is on the disk for good."""
        count, state = self.writer.commit()
        count = self.num_before + len(new) if count is None else count
        logged = self.log.size // _ENTRY.itemsize
        self.log.write(np.array(new[logged - self.num_before : count - self.num_before], dtype=_ENTRY).tobytes())
        self.log.sync()
        last = new[count - self.num_before - 1][0] if count > self.num_before else -1
        corrupt = {position: text for position, text in self.corrupt.items() if position < last}
        as_png = [position for position in self.as_png if position <= last]
        content = {"task": self.task, "images": count, "writer": state, "corrupt": corrupt, "as_png": as_png}
        if count > self.num_before:
            write_text_atomically(self.partial / _JOURNAL / _JOURNAL_FILE, json.dumps(content))

    def _load_journal(self) -> dict[str, Any]:
        path = self.partial / _JOURNAL / _JOURNAL_FILE
        if not path.exists():
            empty = {"task": self.task, "images": 0, "writer": {}, "corrupt": {}}
            write_text_atomically(path, json.dumps(empty))
            return empty
        journal: dict[str, Any] = json.loads(path.read_bytes())
        if journal["task"] != self.task:
            raise DataError(
                f"{self.partial} is of another conversion ({journal['task']['source']} to {journal['task']['to']}), or "
                "its source has changed since; delete it, or name another destination"
            )
        return journal


def _task(source: LabeledImages, to: str) -> dict[str, Any]:
    """What tells a conversion from every other."""
    return {
        "to": to,
        "images": len(source),
        "source": source.describe(0),
        "people": hashlib.sha256(repr(source.identity_names).encode(errors="surrogatepass")).hexdigest(),
        "labels": hashlib.sha256(source.labels.astype("<i8").tobytes()).hexdigest(),
    }


def _tidied(destination: Path, task: dict[str, Any]) -> Conversion | None:
    """What a conversion was that was killed when all but its journal was done, whose journal goes now; None where it is
    not of this `task`."""
    with _locked(destination) as lock:
        path = destination / _JOURNAL / _JOURNAL_FILE
        journal = json.loads(path.read_bytes()) if path.exists() else {}
        _let_go_on_windows(lock)
        _remove_journal(destination)
    if journal.get("task") != task:
        return None
    complete = journal["complete"]
    return Conversion(complete["images"], complete["images"], complete["corrupt"], complete.get("as_png", 0))


def _remove_journal(folder: Path) -> None:
    """Remove the journal, last of all the file that says what it is of."""
    journal = folder / _JOURNAL
    for path in sorted(journal.iterdir(), key=lambda path: path.name == _JOURNAL_FILE):
        path.unlink()
    journal.rmdir()


def _digest(name: bytes, encoded: bytes) -> tuple[int, int]:
    """128 bits that depend on the person's name and the image's bytes. Their sums do not depend on any order."""
    digest = hashlib.blake2b(len(name).to_bytes(8, "little") + name + encoded, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _let_go_on_windows(lock: ExitStack) -> None:
    """Windows removes no file that is open, and renames no folder that holds one."""
    if sys.platform == "win32":
        lock.close()
        gc.collect()  # closes what the reader had open, which holds itself


def _locked(partial: Path) -> ExitStack:
    """Held while the conversion runs; DataError where another process holds it."""
    stack = ExitStack()
    file = stack.enter_context((partial / _JOURNAL / "lock").open("wb"))
    try:
        hold(file)
    except BlockingIOError as error:
        stack.close()
        raise DataError(f"{partial}: another process is converting to it; wait for it to end") from error
    return stack
