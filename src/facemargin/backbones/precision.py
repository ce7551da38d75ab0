"""The number type in which the convolutions of a trained recogniser compute."""

from typing import Literal, get_args

import torch

from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

Precision = Literal["float32", "bf16", "auto"]


def convolution_type(precision: Precision, device: torch.device) -> torch.dtype:
    """float32 or bfloat16. "auto" is bfloat16 if the device has instructions for it; without them bfloat16 is slower.

    Raises ConfigError for another precision.
    """
    if precision not in get_args(Precision):
        raise ConfigError(unknown_name("precision", str(precision), list(get_args(Precision))))
    if precision == "bf16" or (precision == "auto" and computes_bf16(device)):
        return torch.bfloat16
    return torch.float32


def precision_on(device: torch.device, precision: Precision | None) -> Literal["float32", "bf16"]:
    """The precision on a device. None is bf16 on a GPU that has instructions for it, and float32 on the CPU. Raises
    ConfigError for an unknown one."""
    if precision is None:
        precision = "auto" if device.type == "cuda" else "float32"
    return "bf16" if convolution_type(precision, device) is torch.bfloat16 else "float32"


def computes_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for products of bfloat16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    has_them = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    # ONEDNN_MAX_CPU_ISA may forbid oneDNN to use these instructions.
    return has_them and torch.ops.mkldnn._is_mkldnn_bf16_supported()
