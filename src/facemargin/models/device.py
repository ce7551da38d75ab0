"""Torch devices by name."""

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


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
