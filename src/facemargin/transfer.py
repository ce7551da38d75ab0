"""Copies small tensors and tables of numbers from the host to a device, and does not wait for the device."""

from typing import Any

import torch
from torch import Tensor


def on_device(values: Any, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    """A tensor of `values`, of the type that they have if `dtype` is None, on `device`. From the host it goes through
    page-locked memory, so that a GPU continues to work during the copy; what is on `device` already is not copied."""
    tensor = torch.as_tensor(values, dtype=dtype)
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
