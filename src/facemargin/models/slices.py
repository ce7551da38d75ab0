"""Runs a network on the CPU on a few images at a time, each slice by one thread.

A layer reads what the layer before has written. That of many images does not fit into the caches, and the system clears
new memory for each map: SFace takes 2.7 times as long for 64 images at once as for 4 at a time
(benchmarks/results/sface.md). And torch's threads share out every layer and wait for each other after it; where other
programs need the cores they mostly wait. Threads with slices of their own wait once.

Shapes: B images, C colours, H × W pixels.
"""

import functools
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_BYTES = 4 * 112 * 112 * 4
"""Of a slice, for each colour: four faces of 112 × 112 pixels in float32, eight in bf16. Measured with SFace, ir_18,
ir_50 and mobilefacenet."""


def slice_size(size: int, kind: torch.dtype) -> int:
    """The most images of `size` × `size` pixels in a slice for a network that computes in `kind`."""
    return max(1, _BYTES // (size * size * kind.itemsize))


def in_slices(run: Callable[[Tensor], list[Tensor]], images_BCHW: Tensor, most: int) -> list[Tensor]:
    """What `run` makes of images (B, C, H, W): tensors (B, …), made of slices of at most `most` images by as many
    threads as torch has in this one. With fewer images than threads, torch shares out the layers of all of them.

    `run` is called by several threads at once, and makes the same of an image whatever the others are.
    """
    count, threads = len(images_BCHW), torch.get_num_threads()
    if count < threads:
        return run(images_BCHW)
    slices = images_BCHW.tensor_split(min(count, threads * math.ceil(count / (threads * most))))
    results = map(run, slices) if threads == 1 else _workers(threads).map(run, slices)
    return [torch.cat(tensors) for tensors in zip(*results, strict=True)]


@functools.cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """So many threads, in each of which torch has one. They serve the whole process, as torch's own do."""
    all_here = threading.Barrier(threads + 1)

    def begin() -> None:
        torch.get_num_threads()  # the first question sets the number of the process, whatever was set before
        torch.set_num_threads(1)
        all_here.wait()

    workers = ThreadPoolExecutor(threads, "slices", initializer=begin)
    for _ in range(threads):
        workers.submit(int)
    all_here.wait()
    torch.set_num_threads(threads)  # begin() has set it for this thread's successors, too
    return workers


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.cache_clear)  # a child process has none of the threads
