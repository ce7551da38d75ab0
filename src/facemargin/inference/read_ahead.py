"""Reading the next batch while the network is busy with this one."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Batch = TypeVar("Batch")


def read_ahead(read: Callable[[int, int], Batch], count: int, batch_size: int) -> Iterator[tuple[int, int, Batch]]:
    """(start, stop, `read(start, stop)`) of every batch of `count` items. One thread reads, a batch ahead of the
    caller; what it raises is raised here."""
    bounds = [(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]
    with ThreadPoolExecutor(max_workers=1) as executor:
        coming = [executor.submit(read, *bounds[0])] if bounds else []
        for position, (start, stop) in enumerate(bounds):
            batch = coming.pop().result()
            if position + 1 < len(bounds):
                coming.append(executor.submit(read, *bounds[position + 1]))
            yield start, stop, batch
