"""Several real processes with a gloo group for tests."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Processes are forked from one that has imported these: each would take seconds for it.
_IMPORTED_ONCE = [
    "torch",
    "torch.distributed",
    "torch.multiprocessing",
    "facemargin.heads",
    "facemargin.training.trainer",
]


def run_processes(function: Callable[..., Any], processes: int, *arguments: Any) -> list[Any]:
    """What `function(group, *arguments)`, a function of a module, returns in each of `processes` processes."""
    with tempfile.TemporaryDirectory() as folder:
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"  # as on Windows
        multiprocessing.set_forkserver_preload(_IMPORTED_ONCE)
        mp.start_processes(_process, (processes, folder, function, arguments), processes, start_method=method)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(processes)]


def _process(rank: int, processes: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    try:
        torch.save(function(dist.group.WORLD, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
