"""Reads the next batch while the network computes the current one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import TypeVar

from facemargin.errors import ConfigError

Batch = TypeVar("Batch")


def batches_of(count: int, batch_size: int, first: int = 0) -> list[range]:
    """Yields the numbers `first` to `count` − 1, `batch_size` at a time. Raises ConfigError unless `batch_size` is at
    least 1."""
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size!r}, expected a whole number of at least 1")
    return [range(start, min(start + batch_size, count)) for start in range(first, count, batch_size)]


def read_ahead(read: Callable[[range], Batch], batches: Sequence[range]) -> Iterator[tuple[range, Batch]]:
    """Yields every batch with the result of `read` for it. One thread reads, one batch ahead of the caller. Its errors
    are raised here."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        coming = [executor.submit(read, batches[0])] if batches else []
        for position, batch in enumerate(batches):
            content = coming.pop().result()
            if position + 1 < len(batches):
                coming.append(executor.submit(read, batches[position + 1]))
            yield batch, content
