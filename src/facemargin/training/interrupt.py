"""Ctrl-C and a polite kill: finish the step, write a checkpoint, leave."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interruption:
    """`requested` turns True at the first SIGINT or SIGTERM; a second one acts at once."""

    requested = False


@contextmanager
def interruptible(once: bool = True) -> Iterator[Interruption]:
    """Within, the first SIGINT or SIGTERM only sets the flag; unless `once`, later ones too, for processes that get a
    terminal's signal and then their launcher's. Outside the main thread signals stay as they are."""
    interruption = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        if once and interruption.requested:
            raise KeyboardInterrupt
        interruption.requested = True

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, handle)
    try:
        yield interruption
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def ignore_interrupts() -> None:
    """For worker processes: a Ctrl-C reaches the whole process group, and only the trainer decides what it means."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
