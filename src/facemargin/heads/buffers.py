"""Memory that one training step allocates and the next step uses again.

PyTorch gives large CPU blocks back to the system as they are freed, and the first write to every new page then costs
more than computing what is written. CUDA's own allocator keeps its blocks.
"""

import math
import weakref
from collections.abc import MutableMapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

# The C library keeps smaller blocks in the process anyway: this is its largest threshold for returning memory.
_SMALLEST_BYTES = 2**25


class ReusedBuffer:
    """One block of CPU memory, lent to one tensor at a time."""

    def __init__(self) -> None:
        self._block: Tensor | None = None
        self._lent: weakref.ref[Any] | None = None

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised tensor of `shape`, with the type and device of `like`.

        It lies in the reused block if no other tensor, and no view of one, uses that block; otherwise in new memory.
        """
        count = math.prod(shape)
        if like.device.type != "cpu" or count * like.element_size() < _SMALLEST_BYTES:
            return like.new_empty(shape)
        if self._lent is not None and self._lent() is not None:
            return like.new_empty(shape)
        if self._block is None or self._block.numel() < count or self._block.dtype != like.dtype:
            self._block = None  # freed before the larger block is allocated
            self._block = like.new_empty(count)
        # The tensor's storage refers to the array, so the array lives as long as the tensor or any view of it.
        lent = self._block[:count].numpy()
        self._lent = weakref.ref(lent)
        return torch.from_numpy(lent).view(shape)


_BUFFERS: MutableMapping[Tensor, dict[str, ReusedBuffer]] = WeakTensorKeyDictionary()


def reused_buffer(owner: Tensor, name: str) -> ReusedBuffer:
    """The buffer called `name` that belongs to the tensor `owner`. It is freed together with the tensor."""
    return _BUFFERS.setdefault(owner, {}).setdefault(name, ReusedBuffer())
