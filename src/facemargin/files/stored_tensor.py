"""A tensor that lies in a file: what it is is known, its values are read when they are asked for.

Shapes: R rows, D values a row.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StoredTensor:
    """`read()` gives the values, of `shape` and `dtype`, or raises CheckpointError where they are damaged."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @classmethod
    def of(cls, tensor: Tensor) -> "StoredTensor":
        """One that is in memory already."""
        return cls(tuple(tensor.shape), tensor.dtype, lambda: tensor.detach())


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers of `dtype` in a file, which `read` brings into memory as a tensor (count,)."""

    dtype: torch.dtype
    count: int
    read: Callable[[], Tensor]

    def tensor(self, offset: object, shape: object, stride: object, *_: object) -> StoredTensor:
        """The view that a checkpoint asks for; ValueError where it would reach beyond the storage, or show one number
        in several places (how a small file would become a huge tensor)."""
        sizes, steps = _naturals(shape), _naturals(stride)
        # not printed as they are: what holds itself twice, a few times over, is endless text
        if sizes is None or steps is None or len(sizes) != len(steps):
            raise ValueError("a tensor of shape and strides that are not equally many whole numbers")
        if not isinstance(offset, int) or offset < 0:
            raise ValueError(f"a tensor of shape {sizes} does not begin at a place in its storage")
        moving = [(size, step) for size, step in zip(sizes, steps, strict=True) if size != 1]
        empty = any(size == 0 for size, _ in moving)
        last = offset + sum((size - 1) * step for size, step in moving)
        count = 1
        for size, step in sorted(moving, key=lambda item: item[1]):
            if step < count and not empty:
                raise ValueError(f"a tensor of shape {sizes} has overlapping strides {steps}")
            count = step * size
        if not empty and last >= self.count:
            raise ValueError(f"a tensor of shape {sizes} needs {last + 1} numbers of a storage of {self.count}")
        return StoredTensor(sizes, self.dtype, lambda: self.read().as_strided(sizes, steps, offset))


def _naturals(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, tuple | list) or not all(isinstance(item, int) and item >= 0 for item in value):
        return None
    return tuple(value)
