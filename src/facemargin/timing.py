"""Measures how time is spent: sections of the program report to a stopwatch while it runs. Without a stopwatch they
cost nothing.

Sections are deep in packages that do not know about training (for example, the head's exchanges), so the running
stopwatch is a variable of this module: like torch's profiler, it measures the whole process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """`seconds` has the seconds spent in each named section, without those of the sections inside it.

    On a GPU every change of section waits for the device, so that kernels count for the section that started them. A
    switch waits for the current stream alone: what it separates may have started work on other streams, such as a sum
    over the processes, which the next section waits for.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, name: str) -> None:
        """From now on count for `name`, until `leave`."""
        self._count()
        self._open.append(name)

    def leave(self) -> None:
        """Count again for the section around the current one."""
        self._count()
        self._open.pop()

    def switch(self, name: str) -> None:
        """Count for `name` instead of the current section."""
        if self._device.type == "cuda":
            torch.cuda.current_stream(self._device).synchronize()
        self._count_until_now()
        if self._open:
            self._open[-1] = name

    def _count(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        self._count_until_now()

    def _count_until_now(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_running: Stopwatch | None = None


@contextmanager
def timed(stopwatch: Stopwatch) -> Iterator[None]:
    """Within this context, sections report to `stopwatch`. Time outside all sections counts as "other"."""
    global _running
    outer, _running = _running, stopwatch
    stopwatch.enter("other")
    try:
        yield
    finally:
        stopwatch.leave()
        _running = outer


@contextmanager
def section(name: str) -> Iterator[None]:
    """Within this context, time counts for `name`, if a stopwatch runs."""
    if _running is None:
        yield
        return
    stopwatch = _running
    stopwatch.enter(name)
    try:
        yield
    finally:
        stopwatch.leave()


def switch_section(name: str) -> None:
    """From now on the current section counts for `name`, if a stopwatch runs. For sections that begin in the middle of
    a call that cannot be split, such as a backward pass."""
    if _running is not None:
        _running.switch(name)
