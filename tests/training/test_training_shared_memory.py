"""Batches on their way from the workers: what fits into shared memory, and what is said where one dies of it."""

import os
import signal
from types import SimpleNamespace

import numpy as np
import pytest

from facemargin.data.source import ArrayImages, WithLabels
from facemargin.errors import ConfigError
from facemargin.training import shared_memory
from facemargin.training.batches import TrainingBatches
from facemargin.training.shared_memory import what_fits, worker_deaths_explained
from tests.systems import linux_only
from tests.training.training_objects import tiny_state

MB = 10**6


@pytest.fixture
def free(tmp_path, monkeypatch):
    """Sets how much memory is free."""
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)

    def set_to(megabytes):
        usage = SimpleNamespace(free=megabytes * MB)
        monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda path: usage)

    return set_to


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [
        (10_000, (8, 4)),
        (875, (8, 4)),  # (8·4 + 3) · 20 MB are 80 % of it
        (874, (8, 3)),
        (300, (8, 1)),  # 12 batches, 3 of them in use
        (125, (2, 1)),  # 5 batches
        (99, (0, 4)),
        (0, (0, 4)),
    ],
)
def test_fewer_batches_then_fewer_workers_where_there_is_little_room(free, caplog, megabytes, expected):
    free(megabytes)
    assert what_fits(8, 4, 3, 20 * MB) == expected
    assert len(caplog.records) == (expected != (8, 4))


def test_the_warning_says_what_is_done_and_what_would_do(free, caplog):
    free(64)
    what_fits(8, 4, 3, 19_300_000)
    assert caplog.messages[-1].startswith(f"{shared_memory.SHARED_MEMORY} has 64 MB free, too little for 8 workers")
    assert "this process reads the images itself. Give it 844 MB, with docker run --shm-size=805m" in caplog.messages[0]
    free(300)
    what_fits(8, 4, 3, 19_300_000)
    assert "8 of them with 1 batch ahead each do. Give it" in caplog.messages[-1]
    what_fits(8, 4, 3, 19_300_000, say=False)
    assert len(caplog.records) == 2


def test_processes_of_one_machine_share_it(free, monkeypatch):
    free(875)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert what_fits(8, 4, 3, 5 * MB) == (8, 4)
    assert what_fits(8, 4, 3, 20 * MB) == (5, 1)


def test_a_gpu_holds_fewer_batches(free):
    free(64)  # what Docker gives
    assert what_fits(8, 4, 1, 19_300_000) == (1, 1)
    assert what_fits(8, 4, 3, 19_300_000) == (0, 4)


def test_nothing_is_asked_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path / "none")
    assert what_fits(8, 4, 3, 2**60) == (8, 4) and what_fits(0, 4, 3, 2**60) == (0, 4)


class WithTrouble(ArrayImages):
    """Images of whom reading one does `trouble` to the worker that reads it."""

    def __init__(self, trouble):
        super().__init__(np.zeros((12, 16, 16, 3), np.uint8))
        self.trouble = trouble

    def read(self, index):
        self.trouble()
        return super().read(index)


def limit_files():
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))


@linux_only
@pytest.mark.slow  # torch looks for the dead every five seconds
@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGBUS), "shared memory in which workers hand over their batches is full"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "most often because the machine's memory is full"),
        (limit_files, "the shared memory in which workers .* is full: give /dev/shm more, .* lower \\(0 needs none\\)"),
    ],
    ids=["bus error", "killed", "no room"],
)
def test_a_worker_that_dies_of_memory_is_explained(trouble, message):
    state = tiny_state(data={"workers": 1})
    with pytest.raises(ConfigError, match=message), worker_deaths_explained():
        for _ in TrainingBatches(WithLabels(WithTrouble(trouble), [0, 1, 2] * 4, "abc"), state).loader():
            pass


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="another"), worker_deaths_explained():
        raise RuntimeError("another")
