"""Shuffling within blocks: every image once, every stream once through, the same for everyone."""

import numpy as np
import pytest

from facemargin.data.formats.blocks import BLOCKS_AT_ONCE, Blocks
from facemargin.data.sampler import EpochBatchSampler, epoch_order

SHAPES = {
    "row groups": [[5]] * 40,
    "long shards": [[4] * 30, [4] * 2, [3] * 25],
    "one shard": [[2] * 50],
    "one block": [[7]],
    "empty blocks": [[0, 3, 0], [2], [0]],
}


def make(shape: list[list[int]]) -> Blocks:
    sizes = [size for stream in shape for size in stream]
    streams = [number for number, stream in enumerate(shape) for _ in stream]
    return Blocks(np.cumsum([0, *sizes[:-1]]), np.array(streams), sum(sizes))


@pytest.mark.parametrize("name", SHAPES)
def test_every_image_once_and_each_stream_once_through(name):
    blocks = make(SHAPES[name])
    order = blocks.shuffled(np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(blocks.num_images))
    last_use: dict[int, int] = {}
    first_use: dict[int, int] = {}
    for time, index in enumerate(order.tolist()):
        block = blocks.of(index)
        first_use.setdefault(block, time)
        last_use[block] = time
    # Read with a memory of 16 blocks: what is in use at any one time is never more.
    for time in range(len(order)):
        assert sum(first_use[block] <= time <= last_use[block] for block in first_use) <= BLOCKS_AT_ONCE
    # A stream's blocks are first needed in groups that follow one another.
    for stream in set(blocks.streams_K.tolist()):
        own = [block for block in first_use if blocks.streams_K[block] == stream]
        for earlier in own:
            for later in own:
                if later - earlier >= BLOCKS_AT_ONCE:
                    assert last_use[earlier] < first_use[later]


def test_images_of_many_streams_are_mixed():
    blocks = make(SHAPES["row groups"])
    order = blocks.shuffled(np.random.default_rng(0))
    assert len({blocks.of(index) for index in order[:40].tolist()}) > 10
    assert not np.array_equal(order, blocks.shuffled(np.random.default_rng(1)))


def test_bounds_and_membership():
    blocks = make([[0, 3, 0], [2], [0]])
    assert [blocks.bounds(block) for block in range(5)] == [(0, 0), (0, 3), (3, 3), (3, 5), (5, 5)]
    assert [blocks.of(index) for index in range(5)] == [1, 1, 1, 3, 3]


def test_repeated_blocks_are_those_of_copies():
    twice = make([[2, 1], [3]]).repeated(2)
    assert twice.starts_K.tolist() == [0, 2, 3, 6, 8, 9] and twice.streams_K.tolist() == [0, 0, 1, 2, 2, 3]
    assert twice.num_images == 12


def test_the_order_is_a_function_of_seed_and_epoch():
    blocks = make(SHAPES["long shards"])
    first = epoch_order(3, 1, blocks.num_images, blocks)
    np.testing.assert_array_equal(first, epoch_order(3, 1, blocks.num_images, blocks))
    assert not np.array_equal(first, epoch_order(3, 2, blocks.num_images, blocks))
    assert not np.array_equal(first, epoch_order(4, 1, blocks.num_images, blocks))


def test_processes_share_batches_and_a_resumed_run_goes_on():
    blocks = make(SHAPES["long shards"])
    whole = list(EpochBatchSampler(blocks.num_images, 10, 0, 2, blocks=blocks))
    assert list(EpochBatchSampler(blocks.num_images, 10, 0, 2, start_step=25, blocks=blocks)) == whole[25:]
    shares = [
        list(EpochBatchSampler(blocks.num_images, 10, 0, 2, rank=r, processes=3, blocks=blocks)) for r in range(3)
    ]
    assert [[*first, *second, *third] for first, second, third in zip(*shares, strict=True)] == whole
