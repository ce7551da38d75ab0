"""Copies small tables of numbers from the host to a device."""

from typing import Any

import torch
from torch import Tensor


def on_device(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of `values` on `device`. Page-locked memory is used, so that a GPU continues to work during the copy."""
    tensor = torch.as_tensor(values, dtype=dtype)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
