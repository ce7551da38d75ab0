import os
import threading
import time

import numpy as np
import pytest
import torch

from facemargin.data.source import ArrayImages, ImageSubset
from facemargin.errors import DataError
from facemargin.models.read_ahead import MOST_READERS, batches_of, num_readers, read_ahead


def test_every_batch_comes_in_order():
    assert batches_of(7, 3) == [range(3), range(3, 6), range(6, 7)]
    assert batches_of(7, 3, first=5) == [range(5, 7)]
    batches = list(read_ahead(list, batches_of(7, 3)))
    assert batches == [(range(3), [0, 1, 2]), (range(3, 6), [3, 4, 5]), (range(6, 7), [6])]
    assert list(read_ahead(list, batches_of(0, 3))) == []


def test_the_next_batch_is_read_while_this_one_is_used():
    begun = [threading.Event() for _ in range(3)]

    def read(batch):
        begun[batch.start].set()

    for (start,), _ in read_ahead(read, batches_of(3, 1)):
        if start < 2:
            assert begun[start + 1].wait(10)
        if start == 0:
            assert not begun[2].wait(0.05)  # and no more than that one


def test_what_reading_raises_comes_through_after_the_batches_before_it():
    def read(batch):
        if 2 in batch:
            raise DataError("image 2")

    seen = []
    with pytest.raises(DataError, match="image 2"):
        for (start,), _ in read_ahead(read, batches_of(4, 1)):
            seen.append(start)
    assert seen == [0, 1]


@pytest.mark.parametrize("readers", [1, 3])
def test_no_thread_is_left_behind(readers):
    before = threading.active_count()
    for _ in read_ahead(list, batches_of(9, 1), readers):
        break
    list(read_ahead(list, batches_of(3, 1), readers))
    assert threading.active_count() == before


def test_several_readers_read_at_once_and_the_order_stays():
    together, begun = threading.Barrier(3), []

    def read(batch):
        begun.append(batch.start)
        if batch.start < 3:
            together.wait(10)  # passes only if three threads are here
        if batch.start == 0:
            time.sleep(0.05)  # the first batch is the last to be ready
        return batch.start

    seen = []
    for _, start in read_ahead(read, batches_of(9, 1), readers=3):
        seen.append(start)
        assert max(begun) <= start + 3  # no more than that is kept
    assert seen == list(range(9)) and sorted(begun) == seen


def test_an_error_comes_in_its_place_and_ends_all_readers():
    def read(batch):
        if batch.start == 4:
            raise DataError("image 4")
        time.sleep(0.01)

    seen, before = [], threading.active_count()
    with pytest.raises(DataError, match="image 4"):
        for (start,), _ in read_ahead(read, batches_of(100, 1), readers=4):
            seen.append(start)
    assert seen == [0, 1, 2, 3] and threading.active_count() == before


def test_several_threads_read_only_for_a_gpu_and_only_what_they_can(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    images = ArrayImages(np.zeros((2, 4, 4, 3), np.uint8))
    assert num_readers(images, torch.device("cuda:1")) == 5
    assert num_readers(images, torch.device("cpu")) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    assert num_readers(images, torch.device("cuda")) == MOST_READERS
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    assert num_readers(images, torch.device("cuda")) == 1
    images.threadsafe = False
    assert num_readers(ImageSubset(images, [1]), torch.device("cuda")) == 1
