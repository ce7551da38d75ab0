"""The smallest number of GPUs, and the largest batch, for a job."""

from collections.abc import Callable
from dataclasses import replace

from facemargin.planning.job import Job

MOST_GPUS = 4096
LARGEST_BATCH = 2**15
_BATCH_STEP = 8


def smallest_gpus(job: Job, fits: Callable[[Job], bool]) -> int | None:
    """The smallest number of GPUs with which the job `fits`: any number within a node, whole nodes above that. None if
    it needs more than 4096. The batch of each GPU does not change."""
    nodes = range(2 * job.gpus_per_node, MOST_GPUS + 1, job.gpus_per_node)
    counts = [*range(1, min(job.gpus_per_node, MOST_GPUS) + 1), *nodes]
    return next((gpus for gpus in counts if fits(replace(job, gpus=gpus))), None)


def largest_batch(job: Job, fits: Callable[[Job], bool]) -> int | None:
    """The largest number of images per GPU, a multiple of 8 up to 32,768, with which the job `fits` its GPUs. None if 8
    images do not fit.

    Every size is tried, because a larger batch may use an implementation that takes less memory.
    """
    sizes = range(LARGEST_BATCH, 0, -_BATCH_STEP)
    return next((batch for batch in sizes if fits(replace(job, batch=batch))), None)
