"""Memory of one step that the next one uses again.

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

# Smaller blocks stay with the process anyway: it is the C library's largest limit for giving them back.
_SMALLEST_BYTES = 2**25


class ReusedBuffer:
    """One block of CPU memory, lent to one tensor at a time."""

    def __init__(self) -> None:
        self._block: Tensor | None = None
        self._lent: weakref.ref[Any] | None = None

    def empty(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised tensor of `shape`, with the type and device of `like`.

        In the block where no tensor uses it any more (a view counts), else in memory of its own.
        """
        count = math.prod(shape)
        if like.device.type != "cpu" or count * like.element_size() < _SMALLEST_BYTES:
            return like.new_empty(shape)
        if self._lent is not None and self._lent() is not None:
            return like.new_empty(shape)
        if self._block is None or self._block.numel() < count or self._block.dtype != like.dtype:
            self._block = None  # freed before its successor is made
            self._block = like.new_empty(count)
        # The array is referred to by the storage of the tensor made from it, so it lives as long as any view of that.
        lent = self._block[:count].numpy()
        self._lent = weakref.ref(lent)
        return torch.from_numpy(lent).view(shape)


_BUFFERS: MutableMapping[Tensor, dict[str, ReusedBuffer]] = WeakTensorKeyDictionary()


def reused_buffer(owner: Tensor, name: str) -> ReusedBuffer:
    """The buffer `name` of a tensor, freed with it."""
    return _BUFFERS.setdefault(owner, {}).setdefault(name, ReusedBuffer())
