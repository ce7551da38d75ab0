"""The device of a recipe."""

import torch

from facemargin.models.device import device_called


def training_device(name: str) -> torch.device:
    """The device called `name`; "auto" is CUDA where there is one, else the CPU. ConfigError for one not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return device_called(name, "auto, cpu or cuda")
