"""The type of the factors in the products of a head's backward pass."""

from typing import Literal

import torch
from torch import Tensor

from facemargin.backbones.precision import computes_bf16
from facemargin.errors import ConfigError

Backward = Literal["float32", "bf16"]
"""The type of the factors of backward's two products."""


def type_of_products(backward: Backward, x_BD: Tensor) -> torch.dtype:
    """The type to which the factors are rounded, that of the features if they are not. Raises ConfigError for bf16
    where it would be slow or is not meant."""
    if backward == "float32":
        return x_BD.dtype
    if problem := problem_of_bf16(x_BD):
        raise ConfigError(f'backward is "{backward}", but {problem}: leave backward out, or use "float32"')
    return torch.bfloat16


def problem_of_bf16(x_BD: Tensor) -> str | None:
    """Why products of features like these should not be computed in bf16, if so."""
    if x_BD.dtype != torch.float32:
        return f"it rounds products of float32, and these are of {str(x_BD.dtype).removeprefix('torch.')}"
    if computes_bf16(x_BD.device):
        return None
    needed = "AVX512_BF16 or AMX" if x_BD.device.type == "cpu" else "compute capability 8.0 or later"
    return f"this {x_BD.device.type} has no instructions for products of bf16 ({needed}), so they would take longer"


def product_in_float32(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a·b of bf16 matrices, with float32 sums, into the float32 matrix `out`. torch's product on the CPU rounds every
    sum to bf16 once."""
    if a.is_cuda:
        return torch.mm(a, b, out_dtype=torch.float32, out=out)
    return out.copy_(torch.mm(a, b))
