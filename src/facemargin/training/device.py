"""The device of a recipe, and how it computes."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, cast

import torch

from facemargin.errors import ConfigError

# What NVIDIA says cuBLAS needs to compute the same again.
_WORKSPACE, _WORKSPACES = "CUBLAS_WORKSPACE_CONFIG", (":4096:8", ":16:8")
_SAME = "the same to the last bit"


def fix_workspace() -> None:
    """Let cuBLAS compute the same in every run: it reads this when CUDA starts. ConfigError if that is too late."""
    given = os.environ.get(_WORKSPACE)
    if given in _WORKSPACES:
        return
    if given is not None or torch.cuda.is_initialized():
        state = f"is {given}" if given is not None else "is not set and CUDA has started"
        raise ConfigError(
            f"deterministic is true, but the environment variable {_WORKSPACE} {state}: set it to "
            f"{_WORKSPACES[0]} before the program starts, as in {_WORKSPACE}={_WORKSPACES[0]} facemargin train"
        )
    os.environ[_WORKSPACE] = _WORKSPACES[0]


@contextlib.contextmanager
def device_settings(device: torch.device, deterministic: bool) -> Iterator[None]:
    """Within, CUDA multiplies float32 matrices in TF32, several times as fast, and takes the convolutions that it finds
    the fastest; if `deterministic`, those that give the same result in every run, and ConfigError for an operation that
    has none."""
    if device.type != "cuda":
        yield
        return
    cudnn, memory = torch.backends.cudnn, cast(Any, torch.utils.deterministic)
    precision, fill = torch.get_float32_matmul_precision(), memory.fill_uninitialized_memory
    algorithms = torch.are_deterministic_algorithms_enabled()
    before = cudnn.benchmark, cudnn.deterministic
    torch.set_float32_matmul_precision("high")
    cudnn.benchmark, cudnn.deterministic = not deterministic, deterministic
    if deterministic:
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False  # nothing here reads what it has not written
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" in str(error):
            raise ConfigError(
                f"deterministic is true, but on a GPU {str(error).split(' ', 1)[0]}, which this recipe needs, cannot "
                "be: set deterministic to false, or train on the CPU"
            ) from error
        raise
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.benchmark, cudnn.deterministic = before
        torch.use_deterministic_algorithms(algorithms)
        memory.fill_uninitialized_memory = fill


def repeatability(device: torch.device, deterministic: bool) -> dict[str, str]:
    """For the record of a run: its device, and whether the same recipe gives the same weights on it again."""
    if device.type != "cuda":
        return {"device": "cpu", "if run again": _SAME}
    differs = (
        "not the same to the last bit: the fastest convolutions and sums by many threads differ from run to run; "
        "deterministic: true makes them the same"
    )
    name = torch.cuda.get_device_name(device)
    return {"device": name, "if run again": _SAME if deterministic else differs}
