"""The processes of a run: one, or those that torchrun starts, each with its own device and its part of every batch."""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from facemargin.errors import ConfigError, FacemarginError
from facemargin.heads.collectives import Group, all_reduce, host_device
from facemargin.models.device import device_called
from facemargin.timing import section, switch_section
from facemargin.training.config import Recipe
from facemargin.training.device import device_settings, fix_workspace

T = TypeVar("T")

# Others wait while the first process scores the test sets; a process that died is noticed by torchrun, not by this.
_LONGEST_WAIT = timedelta(hours=3)

# torch 2.13 renamed it.
_SYNC_BUFFERS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in inspect.signature(nn.parallel.DistributedDataParallel).parameters
    else "broadcast_buffers"
)


@dataclass(frozen=True)
class Processes:
    """The group of a run's processes, None for a single one, and the device of this one."""

    device: torch.device
    group: Group = None

    @property
    def rank(self) -> int:
        return 0 if self.group is None else self.group.rank()

    @property
    def size(self) -> int:
        return 1 if self.group is None else self.group.size()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that prints, logs and writes what all have in common."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """The sums of `values` over the processes; NaN and infinity pass through."""
        if self.group is None:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=host_device(self.device, self.group))
        all_reduce(total, group=self.group)
        return total.tolist()

    def sum_(self, values: Tensor) -> None:
        """Replace `values`, on the device, by their sums over the processes."""
        if self.group is not None:
            all_reduce(values, group=self.group)

    def average_(self, tensors: list[Tensor]) -> None:
        """Replace tensors of one shape everywhere by their means over the processes."""
        if self.group is None or not tensors:
            return
        tensors = [tensor.detach() for tensor in tensors]
        sizes = [tensor.numel() for tensor in tensors]
        flat = torch.empty(sum(sizes), dtype=torch.float64, device=tensors[0].device)
        parts = [part.view_as(tensor) for part, tensor in zip(flat.split(sizes), tensors, strict=True)]
        torch._foreach_copy_(parts, tensors)
        all_reduce(flat, group=self.group)
        flat /= self.size
        torch._foreach_copy_(tensors, parts)

    def gather(self, value: T) -> list[T]:
        """Every process's `value`, any picklable object, in the order of the ranks."""
        if self.group is None:
            return [value]
        gathered: list[Any] = [None] * self.size
        with section("communication"):
            dist.all_gather_object(gathered, value, group=self.group)
        return gathered

    def on_main(self, function: Callable[[], T]) -> T:
        """What `function` returns in the main process, on all of them; an error of ours is raised on all of them."""
        outcome = _attempt(function) if self.is_main else (None, None)
        result, error = self.gather(outcome)[0]
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def together(self, function: Callable[[], T]) -> T:
        """What `function` returns here; an error of ours in any process is raised in all of them."""
        result, error = _attempt(function)
        for error_of_process in self.gather(error):
            if error_of_process is not None:
                raise error_of_process
        return result  # type: ignore[return-value]

    def check_same(self, settings: Mapping[str, object]) -> None:
        """ConfigError, the same everywhere, unless every process has the same `settings`; it names what differs."""
        main, *others = self.gather(dict(settings))
        for rank, theirs in enumerate(others, start=1):
            for name, value in main.items():
                if theirs.get(name) != value:
                    raise ConfigError(
                        f"the processes of this run do not agree: {name} is {value!r} in process 0 and "
                        f"{theirs.get(name)!r} in process {rank}"
                    )

    def replicate(self, network: nn.Module) -> nn.Module:
        """`network` with its gradients summed over the processes. (DistributedDataParallel's own would divide them by
        the number of processes, but the loss is already the mean over the global batch.)"""
        if self.group is None:
            return network
        options: dict[str, Any] = {
            _SYNC_BUFFERS: False,  # they are averaged after every step
            # Else the buckets are made anew after the first step, and with them the order of the sums: a resumed run
            # would not be the same to the last bit.
            "find_unused_parameters": True,
        }
        if self.device.type == "cuda":
            options["device_ids"] = [self.device]
        replica = nn.parallel.DistributedDataParallel(
            network, process_group=self.group, gradient_as_bucket_view=True, **options
        )
        replica.register_comm_hook(self.group, _sum_gradients)
        return replica


ONE_PROCESS = Processes(torch.device("cpu"))


def _attempt(function: Callable[[], T]) -> tuple[T | None, FacemarginError | OSError | None]:
    """What a function returns, or the error of ours that it raises."""
    try:
        return function(), None
    except (FacemarginError, OSError) as error:
        return None, error


def _sum_gradients(
    group: dist.ProcessGroup,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(bucket.buffer(), group=group, async_op=True)
    assert work is not None
    if bucket.is_last():
        switch_section("communication")  # the backward pass is through: all that is left is waiting for the sums
    summed: torch.futures.Future[Tensor] = work.get_future().then(lambda future: future.value()[0])
    return summed


def restarted(processes: Processes) -> bool:
    """Whether torchrun has started the processes again after one of them failed."""
    return processes.sum([_restarts()]) > [0]


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


@contextlib.contextmanager
def processes_of(recipe: Recipe) -> Iterator[Processes]:
    """The processes that train a recipe, with its number of threads, and its device set up to train."""
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    if recipe.deterministic and device_called(recipe.device).type == "cuda":
        fix_workspace()  # before the processes start CUDA
    with run_processes(recipe.device) as processes, device_settings(processes.device, recipe.deterministic):
        yield processes


@contextlib.contextmanager
def run_processes(device_name: str) -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone. ConfigError for a device that is not here."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or "RANK" not in os.environ:
        yield Processes(device_called(device_name))
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = device_called(device_name)
    if device.type == "cuda":
        device = device_called(f"cuda:{local_rank}")
        torch.cuda.set_device(device)
    # gloo exchanges what the host has to know, so that it waits for the other hosts, but not for the devices.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    store, rank, size = next(iter(rendezvous("env://")))
    if os.environ.get("LOCAL_WORLD_SIZE") == str(size):
        # torchrun keeps its store over a restart, and with it the addresses of the processes that are gone. (Of several
        # machines not all count the same restarts; for them see docs/train.md.)
        store = dist.distributed_c10d.PrefixStore(f"restart_{_restarts()}", store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_LONGEST_WAIT)
    try:
        yield Processes(device, dist.group.WORLD)
    finally:
        dist.destroy_process_group()
