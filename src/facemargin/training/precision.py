"""Which number type the backbone computes in."""

import torch

from facemargin.backbones.precision import computes_bf16
from facemargin.errors import ConfigError

_TYPES = {"float64": None, "float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_type(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type of a recipe's `precision`, None for float32 and float64.

    "auto" is bf16 where the device has instructions for it and float32 elsewhere: emulated, bf16 is slower.
    """
    if precision != "auto":
        if precision not in _TYPES:
            raise ConfigError(f"precision is {precision!r}, expected auto, float64, float32, bf16 or fp16")
        return _TYPES[precision]
    return torch.bfloat16 if computes_bf16(device) else None
