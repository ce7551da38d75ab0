"""Reading the next batch while the network is busy with this one."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from typing import TypeVar

from facemargin.errors import ConfigError

Batch = TypeVar("Batch")


def batches_of(count: int, batch_size: int, first: int = 0) -> list[range]:
    """The numbers `first` to `count` − 1, `batch_size` at a time; ConfigError unless that is a number from 1 on."""
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size!r}, expected a whole number from 1 on")
    return [range(start, min(start + batch_size, count)) for start in range(first, count, batch_size)]


def read_ahead(read: Callable[[range], Batch], batches: Sequence[range]) -> Iterator[tuple[range, Batch]]:
    """Every batch with what `read` gives for it. One thread reads, a batch ahead of the caller; what it raises is
    raised here."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        coming = [executor.submit(read, batches[0])] if batches else []
        for position, batch in enumerate(batches):
            content = coming.pop().result()
            if position + 1 < len(batches):
                coming.append(executor.submit(read, batches[position + 1]))
            yield batch, content
