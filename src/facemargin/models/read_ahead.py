"""Reads the next batches while the network computes the current one."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from numbers import Integral
from typing import TypeVar

import torch

from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError

MOST_READERS = 8

Batch = TypeVar("Batch")


def batches_of(count: int, batch_size: int, first: int = 0) -> list[range]:
    """Yields the numbers `first` to `count` − 1, `batch_size` at a time. Raises ConfigError unless `batch_size` is at
    least 1."""
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size!r}, expected a whole number of at least 1")
    return [range(start, min(start + batch_size, count)) for start in range(first, count, batch_size)]


def most_readers(device: torch.device) -> int:
    """How many threads read images for a network on `device`: on the CPU, where the network takes the cores, one; for
    a GPU one a core that this process may use, less one for the network's own thread, and at most `MOST_READERS`."""
    if device.type != "cuda":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_READERS, max(1, cores - 1))


def num_readers(images: ImageSource, device: torch.device) -> int:
    """`most_readers`, or one for images that several threads cannot read at once."""
    return most_readers(device) if images.threadsafe else 1


def read_ahead(
    read: Callable[[range], Batch], batches: Sequence[range], readers: int = 1
) -> Iterator[tuple[range, Batch]]:
    """Yields every batch with the result of `read` for it, in order. As many threads as `readers` read, a batch each,
    ahead of the caller. Their errors are raised here, in the place of their batch."""
    executor = ThreadPoolExecutor(max_workers=readers)
    try:
        coming: deque[Future[Batch]] = deque(executor.submit(read, batch) for batch in batches[:readers])
        for position, batch in enumerate(batches):
            content = coming.popleft().result()
            if position + readers < len(batches):
                coming.append(executor.submit(read, batches[position + readers]))
            yield batch, content
    finally:
        executor.shutdown(cancel_futures=True)
