"""Converts a data set to another format. Image bytes are copied unchanged and checked; a killed conversion can resume.

The output is first written to `<destination>.partial`, with a journal of its progress. It gets its final name after it
has been read back and compared. Shapes: N images that were written.
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
"""A function that is called with the number of finished images and the number of all images."""

Progress = Callable[[str], AbstractContextManager[Report]]
"""A function that shows the progress of a phase, "converting" or "reading back"."""

_SECONDS_BETWEEN_COMMITS = 2.0
_REPORT_EVERY = 32
_JOURNAL = ".conversion"
_JOURNAL_FILE = "journal.json"
_ENTRY = np.dtype([("position", "<i8"), ("digest", "<u8", 2)])


@dataclass(frozen=True)
class Conversion:
    """The result: how many images were written, how many of them by an earlier process, the error of each image that
    was not written, and how many were stored as PNG because their format is rare."""

    num_images: int
    num_before: int
    corrupt: list[str]
    num_as_png: int = 0


Finish = Callable[[Path, LabeledImages, NDArray[np.int64]], object]
"""A function that is called before the output gets its name, with the folder, what is read from it, and for every image
of the source its number there, -1 if it was left out."""


def convert(
    source: LabeledImages,
    destination: Path,
    to: str,
    progress: Progress,
    key: str = "",
    finish: Finish = lambda folder, written, place_N: None,
) -> Conversion:
    """Write `source` to the folder `destination` in the format `to`, and read it back.

    Corrupt images are left out. An interrupted conversion continues when it is called again. `key` tells apart sources
    that nothing else does, such as parts of one set; `finish` may add files. Raises DataError if the destination
    exists, cannot be written or belongs to another conversion, or if the output, read back, differs from the source.
    Existing files are kept.
    """
    if destination.name in ("", ".."):  # the output would replace the current folder
        raise DataError(f"{destination} cannot be the name of a new folder; give one such as {destination / to}")
    try:
        if (destination / _JOURNAL).is_dir() and (finished := _tidied(destination, _task(source, to, key))):
            return finished
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            raise DataError(f"{destination} exists already; give another destination, or move it away")
        partial = destination.with_name(destination.name + ".partial")
        if partial.exists() and not (partial / _JOURNAL).is_dir() and any(partial.iterdir()):
            raise DataError(
                f"{partial} exists and does not belong to a conversion, which would write to it; move it away"
            )
        (partial / _JOURNAL).mkdir(parents=True, exist_ok=True)
        with _locked(partial) as lock:
            remove_partial_files(partial)
            run = _Run(source, partial, to, key)
            with progress("converting") as report:
                run.write(report)
            with progress("reading back") as report:
                finish(partial, *run.verify(report))
            run.note_as_complete()
            _let_go_on_windows(lock)
            if destination.exists():
                destination.rmdir()  # Windows renames to no name that is taken
            partial.rename(destination)
            _remove_journal(destination)
    except (OSError, OutputError) as error:
        raise OutputError(
            f"cannot write {destination}: {error}. The finished part is kept in {destination}.partial. Solve the "
            "problem (if the disk is full, free some space) and run the same command again to continue"
        ) from error
    return Conversion(len(run.entries_N), run.num_before, list(run.corrupt.values()), len(run.as_png))


class _Run:
    """The part of a conversion that one process does."""

    def __init__(self, source: LabeledImages, partial: Path, to: str, key: str) -> None:
        self.source, self.partial = source, partial
        by_person = WRITERS[to].groups_people and source.blocks is None
        order = np.argsort(source.labels, kind="stable") if by_person else np.arange(len(source))
        self.order: NDArray[np.int64] = order
        self.task = _task(source, to, key)
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
            raise DataError(f"{self.source.name}: none of {counted(len(self.order), 'image')} can be read")
        self.writer.finish(self.source.labels[self.order[self.entries_N["position"]]])

    def verify(self, report: Report) -> tuple[LabeledImages, NDArray[np.int64]]:
        """Read the output with the usual reader of its format, and compare it with the source. Returns it, and which of
        its images each of the source is, -1 for one that was left out."""
        written = open_images(self.partial)
        names = [name.encode(errors="surrogatepass") for name in written.identity_names]
        digests_N = np.zeros((len(written), 2), dtype=np.uint64)
        for index in range(len(written)):
            digests_N[index] = _digest(names[written.labels[index]], written.read_encoded(index))
            if index % _REPORT_EVERY == 0:
                report(index, len(written))
        expected_N = self.entries_N["digest"]
        by_content = [np.lexsort(one.T) for one in (expected_N, digests_N)]  # a reader may have another order
        if len(written) != len(expected_N) or not np.array_equal(expected_N[by_content[0]], digests_N[by_content[1]]):
            raise DataError(
                f"{self.partial}: {len(self.entries_N)} images were written, but reading them back "
                f"({counted(len(written), 'image')}) gives different content; delete it and try again, perhaps on "
                "another disk"
            )
        place_N = np.full(len(self.order), -1, dtype=np.int64)
        place_N[self.order[self.entries_N["position"][by_content[0]]]] = by_content[1]
        return written, place_N

    def note_as_complete(self) -> None:
        """Mark the conversion as complete in the journal, in case the process is killed before it removes the
        journal."""
        self.log.close()
        path = self.partial / _JOURNAL / _JOURNAL_FILE
        complete = {
            "images": len(self.entries_N),
            "corrupt": list(self.corrupt.values()),
            "as_png": len(self.as_png),
        }
        write_text_atomically(path, json.dumps(json.loads(path.read_bytes()) | {"complete": complete}))

    def _checked(self, position: int) -> tuple[bytes, str]:
        """The bytes of an image, checked by decoding and in a common format, and their suffix."""
        index = int(self.order[position])
        encoded, where = self.source.read_encoded(index), self.source.describe(index)
        encoded, suffix, is_changed = in_common_kind(encoded, where, decode_image(encoded, where))
        if is_changed:
            self.as_png.add(position)
        return encoded, suffix

    def _commit(self, new: list[tuple[int, Any]]) -> None:
        """Record in the journal what is safely on the disk."""
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
                f"{self.partial} belongs to another conversion ({journal['task']['source']} to "
                f"{journal['task']['to']}), or its source has changed since then; delete it, or give another "
                "destination"
            )
        return journal


def _task(source: LabeledImages, to: str, key: str) -> dict[str, Any]:
    """The facts that identify a conversion."""
    return ({"key": key} if key else {}) | {
        "to": to,
        "images": len(source),
        "source": source.describe(0),
        "people": hashlib.sha256(repr(source.identity_names).encode(errors="surrogatepass")).hexdigest(),
        "labels": hashlib.sha256(source.labels.astype("<i8").tobytes()).hexdigest(),
    }


def _tidied(destination: Path, task: dict[str, Any]) -> Conversion | None:
    """The result of a conversion that was killed after everything except the removal of its journal was done; the
    journal is removed now. None if there is no such conversion of this `task`."""
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
    """Remove the journal. The file that identifies the conversion is removed last."""
    journal = folder / _JOURNAL
    for path in sorted(journal.iterdir(), key=lambda path: path.name == _JOURNAL_FILE):
        path.unlink()
    journal.rmdir()


def _digest(name: bytes, encoded: bytes) -> tuple[int, int]:
    """128 bits that depend on the person's name and the image's bytes."""
    digest = hashlib.blake2b(len(name).to_bytes(8, "little") + name + encoded, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _let_go_on_windows(lock: ExitStack) -> None:
    """Windows removes no file that is open, and renames no folder that holds one."""
    if sys.platform == "win32":
        lock.close()
        gc.collect()  # closes what the reader had open, which holds itself


def _locked(partial: Path) -> ExitStack:
    """A lock for the time of the conversion. Raises DataError if another process holds it."""
    stack = ExitStack()
    file = stack.enter_context((partial / _JOURNAL / "lock").open("wb"))
    try:
        hold(file)
    except BlockingIOError as error:
        stack.close()
        raise DataError(f"{partial}: another process is writing this conversion; wait until it ends") from error
    return stack
