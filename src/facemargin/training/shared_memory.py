"""The memory in which workers hand over their batches: on Linux /dev/shm, of which a container has 64 MB by default."""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from facemargin.counting import counted
from facemargin.errors import ConfigError

SHARED_MEMORY = Path("/dev/shm")

# NCCL and other programs use it, too.
_USED_AT_MOST = 0.8

logger = logging.getLogger(__name__)


def what_fits(workers: int, prefetch: int, in_use: int, batch_bytes: int, say: bool = True) -> tuple[int, int]:
    """How many workers, and batches ahead for each of them, shared memory has room for, beside `in_use` batches in the
    hands of who asked for them: at most `workers` and `prefetch`. A warning says so (if `say`) where that is less.
    Batches are the same whoever makes them."""
    if not workers or not SHARED_MEMORY.is_dir():
        return workers, prefetch
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    free = shutil.disk_usage(SHARED_MEMORY).free
    room = int(free * _USED_AT_MOST / processes) // batch_bytes - in_use  # in batches
    fitting_workers = min(workers, max(room, 0))
    fitting_prefetch = min(prefetch, room // fitting_workers) if fitting_workers else prefetch
    if say and (fitting_workers, fitting_prefetch) != (workers, prefetch):
        wanted = (workers * prefetch + in_use) * batch_bytes * processes / _USED_AT_MOST
        made = (
            f"{fitting_workers} of them with {counted(fitting_prefetch, 'batch', 'batches')} ahead each do"
            if fitting_workers
            else "none of them does, which is slow: this process reads the images itself"
        )
        logger.warning(
            "%s has %.0f MB free, too little for %s with %s of %.1f MB ahead each: %s. Give it %.0f MB, with docker "
            "run --shm-size=%.0fm",
            SHARED_MEMORY, free / 1e6, counted(workers, "worker"), counted(prefetch, "batch", "batches"),
            batch_bytes / 1e6, made, wanted / 1e6, wanted / 2**20,
        )  # fmt: skip
    return fitting_workers, fitting_prefetch


@contextlib.contextmanager
def worker_deaths_explained() -> Iterator[None]:
    """Within, torch's error that a worker died of memory becomes a ConfigError that says what to do."""
    try:
        yield
    except RuntimeError as error:
        text = f"{error} {error.__cause__}"  # "exited unexpectedly" from "is killed by signal: …"
        if "Bus error" in text or "file </torch_" in text:  # the name of a block of it
            raise ConfigError(
                f"the shared memory in which workers hand over their batches is full: give {SHARED_MEMORY} more, as "
                "with docker run --shm-size=1g, or set data.workers lower (0 needs none)"
            ) from error
        if "DataLoader worker" in text and "killed by signal: Killed" in text:
            raise ConfigError(
                "a process that reads images was killed, most often because the machine's memory is full: set "
                "data.workers lower, or data.cache_decoded to false"
            ) from error
        raise
