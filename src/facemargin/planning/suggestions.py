"""How few GPUs, or how many images, would do."""

from collections.abc import Callable
from dataclasses import replace

from facemargin.planning.job import Job

MOST_GPUS = 4096
LARGEST_BATCH = 2**15
_BATCH_STEP = 8


def smallest_gpus(job: Job, fits: Callable[[Job], bool]) -> int | None:
    """The fewest GPUs, any number within a node and whole nodes beyond, with which the job `fits`; None if more than
    4096 would be needed. The batch of each GPU stays as it is."""
    nodes = range(2 * job.gpus_per_node, MOST_GPUS + 1, job.gpus_per_node)
    counts = [*range(1, min(job.gpus_per_node, MOST_GPUS) + 1), *nodes]
    return next((gpus for gpus in counts if fits(replace(job, gpus=gpus))), None)


def largest_batch(job: Job, fits: Callable[[Job], bool]) -> int | None:
    """The most images of a GPU, a multiple of 8 up to 32,768, with which the job `fits` its GPUs; None if 8 do not.

    Every size is tried: a larger batch may be computed in a way that takes less memory.
    """
    sizes = range(LARGEST_BATCH, 0, -_BATCH_STEP)
    return next((batch for batch in sizes if fits(replace(job, batch=batch))), None)
