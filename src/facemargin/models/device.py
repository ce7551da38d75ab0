"""Torch devices by name, and how they compute."""

import contextlib
from collections.abc import Iterator

import torch

from facemargin.errors import ConfigError


def device_called(name: str | torch.device) -> torch.device:
    """The device called `name`, such as "cuda:1"; "auto" is CUDA where there is one, else the CPU. Raises ConfigError
    if this machine does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(
            f"device is {name!r}, expected auto, cpu or cuda (cuda:1 for the second GPU): {_first_line(error)}"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device is {str(name)!r}, but this machine has {torch.cuda.device_count()} CUDA devices that "
            "torch can use; cpu always works, and auto takes a GPU where there is one"
        )
    return device


def device_text(device: torch.device) -> str:
    """A device for people to read: "cuda:0 (NVIDIA H100 80GB HBM3)", "cpu"."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


@contextlib.contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Within, a GPU computes what is float32 in float32, and not in TF32, which PyTorch takes for convolutions by
    itself."""
    if device.type != "cuda":
        yield
        return
    kinds = getattr(torch.backends.cudnn, "conv"), torch.backends.cuda.matmul  # noqa: B009  (mypy does not know it)
    before = [kind.fp32_precision for kind in kinds]
    try:
        for kind in kinds:
            kind.fp32_precision = "ieee"
        yield
    finally:
        for kind, precision in zip(kinds, before, strict=True):
            kind.fp32_precision = precision


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
