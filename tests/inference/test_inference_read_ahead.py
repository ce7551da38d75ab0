import threading

import pytest

from facemargin.errors import DataError
from facemargin.inference.read_ahead import read_ahead


def test_every_batch_comes_in_order():
    batches = list(read_ahead(lambda start, stop: list(range(start, stop)), 7, 3))
    assert batches == [(0, 3, [0, 1, 2]), (3, 6, [3, 4, 5]), (6, 7, [6])]
    assert list(read_ahead(lambda start, stop: 1, 0, 3)) == []


def test_the_next_batch_is_read_while_this_one_is_used():
    begun = [threading.Event() for _ in range(3)]

    def read(start, stop):
        begun[start].set()
        return start

    for start, _, _ in read_ahead(read, 3, 1):
        if start < 2:
            assert begun[start + 1].wait(10)
        if start == 0:
            assert not begun[2].wait(0.05)  # and no more than that one


def test_what_reading_raises_comes_through_after_the_batches_before_it():
    def read(start, stop):
        if start == 2:
            raise DataError("image 2")
        return start

    seen = []
    with pytest.raises(DataError, match="image 2"):
        for start, _, _ in read_ahead(read, 4, 1):
            seen.append(start)
    assert seen == [0, 1]


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in read_ahead(lambda start, stop: start, 9, 1):
        break
    list(read_ahead(lambda start, stop: start, 3, 1))
    assert threading.active_count() == before
