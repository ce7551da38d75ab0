"""A tensor in a file: its shape and type are known, and its values are read on demand.

Shapes: R rows, D values a row.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class StoredTensor:
    """`read()` returns the values, of `shape` and `dtype`, or raises CheckpointError if they are damaged. `read_rows`
    gives some of its rows alone, where they lie one after the other."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]
    read_rows: Callable[[int, int], Tensor] | None = None

    def rows(self, first: int, last: int) -> Tensor:
        """The rows [first, last), those that there are: no more is kept in memory where `read_rows` can be had."""
        if self.read_rows is None:
            return self.read()[first:last].clone()
        first, last, _ = slice(first, last).indices(self.shape[0])
        return self.read_rows(first, max(first, last))

    @property
    def nbytes(self) -> int:
        """How much memory the values take."""
        return math.prod(self.shape) * self.dtype.itemsize

    @classmethod
    def of(cls, tensor: Tensor) -> "StoredTensor":
        """A stored tensor for values that are in memory already."""
        return cls(tuple(tensor.shape), tensor.dtype, lambda: tensor.detach())


@dataclass(frozen=True)
class Storage:
    """A run of `count` numbers of `dtype` in a file, of which `read(first, last)` brings those of [first, last) into
    memory, in one dimension."""

    dtype: torch.dtype
    count: int
    read: Callable[[int, int], Tensor]

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
        contiguous = tuple(math.prod(sizes[axis + 1 :]) for axis in range(len(sizes)))
        in_rows = bool(sizes) and all(
            size == 1 or step == natural for size, step, natural in zip(sizes, steps, contiguous, strict=True)
        )
        return StoredTensor(
            sizes,
            self.dtype,
            lambda: self.read(0, self.count).as_strided(sizes, steps, offset),
            (lambda first, last: self._read_rows(offset, sizes[1:], first, last)) if in_rows else None,
        )

    def _read_rows(self, offset: int, shape_of_row: tuple[int, ...], first: int, last: int) -> Tensor:
        """Rows that lie one after the other from `offset` on."""
        length = math.prod(shape_of_row)
        return self.read(offset + first * length, offset + last * length).view(last - first, *shape_of_row)


def _naturals(value: object) -> tuple[int, ...] | None:
    if not isinstance(value, tuple | list) or not all(isinstance(item, int) and item >= 0 for item in value):
        return None
    return tuple(value)
