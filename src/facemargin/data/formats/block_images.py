"""Reading images in blocks, for formats that can only be read from the beginning. The last blocks are kept in
memory."""

import os
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from facemargin.data.formats.blocks import BLOCKS_AT_ONCE, Blocks
from facemargin.data.images.decode import decode_image
from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import CorruptImageError

BLOCK_BYTES = 1 << 23
BLOCK_IMAGES = 256
"""A block ends before it exceeds either limit, so that a reader keeps less than 128 MiB."""

_BEGINNING = threading.Lock()

Encoded = bytes | CorruptImageError


class BlockImages(LabeledImages):
    """Encoded images that are read in `blocks`.

    Any image can be read at any time, but only orders such as those of `Blocks.shuffled`, and reading from the first to
    the last image, are fast. Each process opens its own files; its threads read one after another.
    """

    blocks: Blocks
    threadsafe = True

    def __init__(self) -> None:
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None, "_streams": None, "_process": None, "_lock": None}

    def __len__(self) -> int:
        return self.blocks.num_images

    @abstractmethod
    def _stream(self, stream: int) -> Iterator[list[Encoded]]:
        """The blocks of a stream, one after another. An image that cannot be read is replaced by its error."""

    def read(self, index: int) -> RGBImage:
        return decode_image(self.read_encoded(index), self.describe(index))

    def read_encoded(self, index: int) -> bytes:
        block = self.blocks.of(index)
        encoded = self._block(block)[index - int(self.blocks.starts_K[block])]
        if isinstance(encoded, CorruptImageError):
            raise CorruptImageError(str(encoded))
        return encoded

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, list[Encoded]] = OrderedDict()
        self._streams: OrderedDict[int, tuple[int, Iterator[list[Encoded]]]] = OrderedDict()
        self._process = os.getpid()

    def _block(self, block: int) -> list[Encoded]:
        if self._process != os.getpid():  # a forked process shares the positions in open files with its parent
            with _BEGINNING:
                if self._process != os.getpid():
                    self._forget()
        with self._lock:
            if block not in self._kept:
                self._kept[block] = self._next_from_stream(block)
                if len(self._kept) > BLOCKS_AT_ONCE:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(block)
            return self._kept[block]

    def _next_from_stream(self, block: int) -> list[Encoded]:
        stream = int(self.blocks.streams_K[block])
        next_block, iterator = self._streams.pop(stream, (block + 1, iter(())))
        if next_block > block:  # not open, or already past this block
            next_block, iterator = int(self.blocks.streams_K.searchsorted(stream)), self._stream(stream)
        encoded = next(islice(iterator, block - next_block, None))
        self._streams[stream] = (block + 1, iterator)
        if len(self._streams) > BLOCKS_AT_ONCE:
            self._streams.popitem(last=False)
        return encoded


def cut_into_blocks(sizes: Sequence[int]) -> list[int]:
    """The first image of every block, given the sizes of the encoded images in bytes."""
    starts: list[int] = []
    count, total = BLOCK_IMAGES, 0
    for position, size in enumerate(sizes):
        if count == BLOCK_IMAGES or total + size > BLOCK_BYTES:
            starts.append(position)
            count, total = 0, 0
        count, total = count + 1, total + size
    return starts
