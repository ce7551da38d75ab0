"""Conversions killed between any two lines that write: continued, they are those that nothing disturbed."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from facemargin.data import conversion
from facemargin.data.conversion import convert
from facemargin.data.open import open_images
from facemargin.data.source import ImageSource, WithLabels
from facemargin.data.writers import WRITERS, list_writer, parquet_writer, shard_writer
from facemargin.errors import DataError
from tests.data.conversion_progress import no_progress
from tests.data.sample_images import encode, smooth_image
from tests.systems import posix_only

pytestmark = posix_only
FORK = multiprocessing.get_context("fork" if sys.platform != "win32" else None)
NUM_IMAGES = 14
WATCHED = ("/data/conversion.py", "/data/writers/", "/facemargin/atomic.py")


class Encoded(ImageSource):
    """Images in memory; those at `corrupt` cannot be read."""

    name = "in memory"

    def __init__(self, corrupt=(5,)):
        self._encoded = [encode(smooth_image(n, 4, 4), ".png") for n in range(NUM_IMAGES)]
        for index in corrupt:
            self._encoded[index] = b"corrupt"

    def __len__(self):
        return NUM_IMAGES

    def read(self, index):
        raise AssertionError("converting has no need of it")

    def read_encoded(self, index):
        return self._encoded[index]

    def describe(self, index):
        return f"image {index}"


def people(corrupt=(5,)):
    return WithLabels(Encoded(corrupt), [index // 3 for index in range(NUM_IMAGES)], [f"Ann {n}" for n in range(5)])


@pytest.fixture(autouse=True)
def _small_files_and_a_journal_of_every_third_image(monkeypatch):
    monkeypatch.setattr(shard_writer, "SHARD_IMAGES", 3)
    monkeypatch.setattr(parquet_writer, "FILE_IMAGES", 3)
    monkeypatch.setattr(list_writer, "_IMAGES_IN_FOLDER", 4)
    monkeypatch.setattr(conversion, "_SECONDS_BETWEEN_COMMITS", 2.5)
    monkeypatch.setattr(conversion.time, "monotonic", iter(range(10**9)).__next__)
    for name in ("sync", "fsync"):  # a kill loses nothing of what was written
        monkeypatch.setattr(os, name, lambda *_: None)


def watch(line_reached):
    """Call `line_reached` before every line of the code that writes."""

    def trace(frame, event, _):
        if event == "call":
            return trace if any(part in frame.f_code.co_filename for part in WATCHED) else None
        if event == "line":
            line_reached()
        return trace

    sys.settrace(trace)


def lines_of_a_whole_conversion(destination, to):
    lines = []
    watch(lambda: lines.append(1))
    try:
        convert(people(), destination, to, no_progress)
    finally:
        sys.settrace(None)
    return len(lines)


def convert_until(destination, to, last_line):
    """In a process of its own: killed before line `last_line` of those it goes through."""
    left = iter(range(last_line))
    watch(lambda: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL))
    finish(destination, to)
    sys.settrace(None)


def files(folder):
    """Every file but the saved places of a shard's members, which hold the time when they were found."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(".index.json")
    }


def names(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("to", WRITERS)
@pytest.mark.parametrize("least", [10, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_anywhere_and_continued_it_is_byte_for_byte_the_undisturbed_one(tmp_path, to, least):
    lines = lines_of_a_whole_conversion(tmp_path / "whole", to)
    generator = np.random.default_rng(100 * list(WRITERS).index(to) + least)
    kills = rounds = 0
    while kills < least:
        destination = tmp_path / f"out{rounds}" / "set"
        for _ in range(generator.integers(1, 4)):
            process = FORK.Process(target=convert_until, args=(destination, to, int(generator.integers(lines))))
            process.start()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL)
            if process.exitcode == 0:  # what was left to do had fewer lines
                break
            kills += 1
        else:
            finish(destination, to)
        assert names(destination.parent) == sorted(["set", *(f"set/{name}" for name in names(tmp_path / "whole"))])
        assert files(destination) == files(tmp_path / "whole")
        rounds += 1


def finish(destination, to):
    try:
        result = convert(people(), destination, to, no_progress)
    except DataError as error:  # killed between its last two steps, when its journal was gone
        assert f"{destination} exists already" in str(error)
    else:
        assert (result.num_images, len(result.corrupt)) == (NUM_IMAGES - 1, 1)


@pytest.mark.parametrize("to", WRITERS)
def test_what_the_killed_process_wrote_beyond_the_end_of_the_continued_one_is_gone(tmp_path, to, monkeypatch):
    """Of an image that was unreadable for a while, the numbers of all after it differ; files may be cut elsewhere."""
    lines = lines_of_a_whole_conversion(tmp_path / "whole", to)
    for last_line in range(lines // 8, 7 * lines // 8, lines // 8):
        destination = tmp_path / f"out{last_line}" / "set"
        process = FORK.Process(target=convert_until, args=(destination, to, last_line))
        process.start()
        process.join()
        with monkeypatch.context() as patched:
            patched.setattr(shard_writer, "SHARD_IMAGES", 10_000)
            patched.setattr(parquet_writer, "FILE_IMAGES", 10_000)
            result = convert(people(range(NUM_IMAGES - 8, NUM_IMAGES)), destination, to, no_progress)
        found = open_images(destination)
        assert len(found) == result.num_images and names(destination.parent)[0] == "set"
        on_disk = sum(path.suffix == ".png" for path in destination.rglob("*"))
        assert on_disk == (len(found) if to in ("folder", "list") else 0)
