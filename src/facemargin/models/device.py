"""Torch devices by name."""

import torch

from facemargin.errors import ConfigError


def device_called(name: str | torch.device, expected: str = "cpu or cuda") -> torch.device:
    """The device called `name`, such as "cuda:1". Raises ConfigError, which says what is `expected`, if this machine
    does not have it."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device is {name!r}, expected {expected}: {error}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device is {name!r}, but this machine has {torch.cuda.device_count()} CUDA devices")
    return device
