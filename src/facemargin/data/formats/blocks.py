"""Shuffles images that are slow to read in random order.

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
    """Block k has the images from `starts_K[k]` to the start of the next block, or to `num_images`.

    A stream is a unit that is read from its beginning: a compressed shard or a row group. `streams_K`, ascending, is
    the stream of each block. The blocks of a stream should be read in their order.
    """

    starts_K: NDArray[np.int64]
    streams_K: NDArray[np.int64]
    num_images: int

    def bounds(self, block: int) -> tuple[int, int]:
        """The first image of a block, and the image after its last."""
        last = block + 1 == len(self.starts_K)
        return int(self.starts_K[block]), self.num_images if last else int(self.starts_K[block + 1])

    def of(self, index: int) -> int:
        """The block that contains image `index`."""
        return int(np.searchsorted(self.starts_K, index, side="right")) - 1

    def repeated(self, times: int) -> "Blocks":
        """The blocks of `times` copies of the images, one after another."""
        streams = int(self.streams_K.max(initial=-1)) + 1
        return Blocks(
            np.concatenate([self.starts_K + copy * self.num_images for copy in range(times)]),
            np.concatenate([self.streams_K + copy * streams for copy in range(times)]),
            self.num_images * times,
        )

    def shuffled(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """All images (N,), in an order that reads every stream once.

        The streams are in random order. Up to 16 streams are read at a time; 16 blocks are taken from them in turn, and
        the images of these 16 blocks are shuffled together.
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
