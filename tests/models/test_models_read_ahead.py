import threading

import pytest

from facemargin.errors import DataError
from facemargin.models.read_ahead import batches_of, read_ahead


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


def test_no_thread_is_left_behind():
    before = threading.active_count()
    for _ in read_ahead(list, batches_of(9, 1)):
        break
    list(read_ahead(list, batches_of(3, 1)))
    assert threading.active_count() == before
