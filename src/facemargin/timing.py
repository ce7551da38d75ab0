"""Where time goes: a stopwatch that sections of the program report to while it runs, and that costs nothing otherwise.

Sections lie deep in rooms that know nothing of training (the head's exchanges, for one), so the stopwatch that is
running is this module's: like torch's profiler it watches the whole process.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Seconds in each named section, `seconds`; a section's own, without those of the sections inside it.

    On a GPU every change of section waits for the device, so that a section's kernels count as its own.
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self._device = device
        self._open: list[str] = []
        self._since = 0.0

    def enter(self, name: str) -> None:
        """Count for `name` from now on, until `leave`."""
        self._count()
        self._open.append(name)

    def leave(self) -> None:
        """Count again for the section around the present one."""
        self._count()
        self._open.pop()

    def switch(self, name: str) -> None:
        """Count for `name` instead of the present section."""
        self._count()
        if self._open:
            self._open[-1] = name

    def _count(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


_running: Stopwatch | None = None


@contextmanager
def timed(stopwatch: Stopwatch) -> Iterator[None]:
    """Within, sections report to `stopwatch`; what lies outside of all of them counts as "other"."""
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
    """Within, time counts for `name`, if a stopwatch runs."""
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
    """From now on the section that this is in counts for `name`, if a stopwatch runs: for what begins in the middle of
    a call that cannot be taken apart, such as a backward pass."""
    if _running is not None:
        _running.switch(name)
