"""Exchanges of tensors between the processes of a class-parallel head, with their gradients.

After the exchange every process computes the same loss from the same numbers. A gradient that comes from there is the
same in every process and must count once. A gradient that comes from a product with the centres of one process is only
this process's part of a sum over all processes. Each function below says which of the two it expects.

If the group is None, there is a single process, and all functions return what they are given. Shapes: B samples of the
global batch, b of this process, P processes, D feature values.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.errors import ConfigError
from facemargin.full_precision import Function
from facemargin.timing import section

Group: TypeAlias = "dist.ProcessGroup | None"

# torch 2.12 renamed them.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


@section("communication")
def all_gather(gathered: Tensor, local: Tensor, group: Group) -> None:
    """Write every process's `local` (b, …), one after another, into `gathered` (P·b, …)."""
    _all_gather(gathered, local, group=group)


@section("communication")
def reduce_scatter(local: Tensor, partial: Tensor, group: Group) -> None:
    """Sum every process's `partial` (P·b, …) and write this process's rows of the sum into `local` (b, …)."""
    _reduce_scatter(local, partial, group=group)


@section("communication")
def all_reduce(values: Tensor, group: Group) -> None:
    """Replace `values` by the sum of every process's `values`."""
    dist.all_reduce(values, group=group)


def host_device(device: torch.device, group: dist.ProcessGroup) -> torch.device:
    """Where the processes, which compute on `device`, exchange what the host has to know: on the CPU if the group has a
    backend for it, so that nothing waits for the device, else on `device`."""
    return torch.device("cpu") if "cpu" in _exchanged(group) else device


def check_exchanges(device: torch.device, group: Group) -> None:
    """Raise ConfigError unless the processes of `group` can exchange tensors on `device`."""
    if group is None or not (exchanged := _exchanged(group)) or device.type in exchanged:
        return
    raise ConfigError(
        f"the process group exchanges tensors on {' and '.join(exchanged)} only, but the head is on {device}: move "
        "head and features there, or create the group with a backend for both, as in "
        'torch.distributed.init_process_group("cpu:gloo,cuda:nccl")'
    )


def _exchanged(group: dist.ProcessGroup) -> list[str]:
    """The types of devices that a group has a backend for."""
    return sorted({device.type for device in group._device_types})


@dataclass(frozen=True)
class RowsOfProcesses:
    """How many rows of the global batch each process of `group` holds. The rows are in the order of the ranks."""

    group: Group
    counts: tuple[int, ...]
    rank: int
    #: where what the host has to know is exchanged
    device: torch.device

    @classmethod
    def of(cls, rows: int, device: torch.device, group: Group) -> "RowsOfProcesses":
        """Ask every process for its number of rows; the samples are on `device`."""
        if group is None:
            return cls(None, (rows,), 0, torch.device("cpu"))
        device = host_device(device, group)
        counts_P = torch.empty(group.size(), dtype=torch.int64, device=device)
        all_gather(counts_P, torch.tensor([rows], device=device), group=group)
        return cls(group, tuple(counts_P.tolist()), group.rank(), device)

    @property
    def local(self) -> slice:
        """The rows of the global batch that this process holds."""
        first = sum(self.counts[: self.rank])
        return slice(first, first + self.counts[self.rank])

    def gather(self, local: Tensor) -> Tensor:
        """The rows of all processes, (B, …), without gradient."""
        if self.group is None:
            return local
        longest = max(self.counts)
        if longest == 0:
            return local
        padded = local.new_zeros(longest, *local.shape[1:])
        padded[: len(local)] = local
        gathered = local.new_empty(len(self.counts) * longest, *local.shape[1:])
        all_gather(gathered, padded, group=self.group)
        return torch.cat([part[:count] for part, count in zip(gathered.split(longest), self.counts, strict=True)])

    def gather_on_host(self, local: Tensor) -> Tensor:
        """As `gather`, for a tensor on the CPU."""
        return self.gather(local.to(self.device)).cpu()

    def sum_scatter(self, partial: Tensor) -> Tensor:
        """This process's rows of the sum over the processes' `partial` (B, …), without gradient."""
        longest = max(self.counts)
        if longest == 0:
            return partial
        padded = partial.new_zeros(len(self.counts), longest, *partial.shape[1:])
        for part, rows in zip(padded, partial.split(self.counts), strict=True):
            part[: len(rows)] = rows
        summed = partial.new_empty(longest, *partial.shape[1:])
        reduce_scatter(summed, padded.flatten(0, 1), group=self.group)
        return summed[: self.counts[self.rank]]


def gather_for_products(local: Tensor, rows: RowsOfProcesses) -> Tensor:
    """The rows of all processes, (B, …), for products with this process's centres. Gradients are summed over
    processes."""
    return local if rows.group is None else _Gather.apply(local, rows, True)


def gather_for_margin(local: Tensor, rows: RowsOfProcesses) -> Tensor:
    """The rows of all processes, (B, …), for computations that are the same in every process. Each process keeps the
    gradient of the rows that it holds."""
    return local if rows.group is None else _Gather.apply(local, rows, False)


def copy_for_products(values: Tensor, group: Group) -> Tensor:
    """`values`, which are the same in every process, for products with this process's centres. Gradients are summed."""
    return _CopyForProducts.apply(values, group) if group is not None and values.requires_grad else values


def sum_for_margin(values: Tensor, group: Group) -> Tensor:
    """The sum of `values` over the processes, for computations that are the same in every process. The gradient passes
    unchanged."""
    return values if group is None else _SumForMargin.apply(values, group)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, local: Tensor, rows: RowsOfProcesses, sums_gradients: bool) -> Tensor:
        ctx.rows, ctx.sums_gradients = rows, sums_gradients
        return rows.gather(local)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.rows.sum_scatter(gradient) if ctx.sums_gradients else gradient[ctx.rows.local], None, None


class _CopyForProducts(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        ctx.group = group
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.contiguous().clone()
        all_reduce(gradient, group=ctx.group)
        return gradient, None


class _SumForMargin(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, group: dist.ProcessGroup) -> Tensor:
        total = values.contiguous().clone()
        all_reduce(total, group=group)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
