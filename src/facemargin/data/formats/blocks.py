"""Shuffling images that cannot be read in any order at a reasonable price.

Shapes: N images, K blocks.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCKS_AT_ONCE = 16
"""How many blocks are shuffled together, and how many a reader keeps in memory."""


@dataclass(frozen=True)
class Blocks:
    """Block k holds the images from `starts_K[k]` to the next block's start, or to `num_images`.

    A stream is what is read from its beginning: a compressed shard, a row group. `streams_K`, ascending, says which
    stream a block is part of; of one stream, blocks should be read in their order.
    """

    starts_K: NDArray[np.int64]
    streams_K: NDArray[np.int64]
    num_images: int

    def bounds(self, block: int) -> tuple[int, int]:
        """The first image of a block and the one after its last."""
        last = block + 1 == len(self.starts_K)
        return int(self.starts_K[block]), self.num_images if last else int(self.starts_K[block + 1])

    def of(self, index: int) -> int:
        """The block that image `index` is in."""
        return int(np.searchsorted(self.starts_K, index, side="right")) - 1

    def repeated(self, times: int) -> "Blocks":
        """The blocks of as many copies of the images, one after another."""
        streams = int(self.streams_K.max(initial=-1)) + 1
        return Blocks(
            np.concatenate([self.starts_K + copy * self.num_images for copy in range(times)]),
            np.concatenate([self.streams_K + copy * streams for copy in range(times)]),
            self.num_images * times,
        )

    def shuffled(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """All images (N,), in an order that reads every stream once.

        The streams come in random order. From up to 16 of them at a time, 16 blocks are taken in turn, and the images
        of these 16 are shuffled together.
        """
        first_of_stream = np.flatnonzero(np.diff(self.streams_K, prepend=-1))
        blocks_of_stream = np.split(np.arange(len(self.streams_K)), first_of_stream[1:])
        waiting = [blocks_of_stream[stream] for stream in generator.permutation(len(blocks_of_stream))]
        waiting.reverse()
        being_read: deque[deque[int]] = deque()
        order = []
        while waiting or being_read:
            group: list[int] = []
            while len(group) < BLOCKS_AT_ONCE and (waiting or being_read):
                while waiting and len(being_read) < BLOCKS_AT_ONCE:
                    being_read.append(deque(waiting.pop().tolist()))
                stream = being_read.popleft()
                group.append(stream.popleft())
                if stream:
                    being_read.append(stream)
            order.append(generator.permutation(np.concatenate([np.arange(*self.bounds(block)) for block in group])))
        return np.concatenate(order).astype(np.int64)
