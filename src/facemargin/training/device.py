"""The device of a recipe."""

import torch

from facemargin.errors import ConfigError


def training_device(name: str) -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else the CPU. ConfigError for one not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name!r}, expected auto, cpu or cuda: {error}") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"device is {name!r}, and this machine shows {torch.cuda.device_count()} CUDA devices")
    return device
