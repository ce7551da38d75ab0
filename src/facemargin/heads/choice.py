"""Which implementation of `softmax_terms` "auto" is, by the size of the product, the type and the device.

Shapes: B samples, C classes, D feature values.
"""

import logging
import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from facemargin.errors import ConfigError
from facemargin.heads.chunked import softmax_terms_chunked
from facemargin.heads.rounded_products import Backward, problem_of_bf16
from facemargin.heads.triton import NO_SUB_CENTERS, softmax_terms_triton
from facemargin.margins.base import HardNegatives

logger = logging.getLogger(__name__)

# Beyond this many cosines (64 MB in float32) "auto" stops keeping whole B×C matrices.
LARGEST_EAGER_PRODUCT = 2**24
# Of the values of a trial, the difference from float64 relative to their norm: that of TF32 products is about 1e-3.
_TRIAL_ERROR = 1e-2


def automatic_implementation(
    x_BD: Tensor,
    w_CD: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None = None,
    backward: Backward = "float32",
    hardest_class: bool = False,
    no_triton: str = "",
) -> str:
    """ "eager" up to 2²⁴ cosines; above, "triton" in float32 on NVIDIA GPUs of compute capability 8.0 or later,
    and "chunked" otherwise.

    Before "triton" is first used, a small batch goes through it. If that fails, or for a reason that is known before,
    `no_triton`, a warning gives the reason, once, and "chunked" takes its place.
    """
    if len(x_BD) * math.prod(w_CD.shape[:-1]) <= LARGEST_EAGER_PRODUCT:
        return "eager"
    device, size = x_BD.device, x_BD.shape[1]
    if device.type != "cuda" or torch.version.hip is not None or x_BD.dtype != torch.float32:
        return "chunked"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "chunked"
    precision = torch.backends.cuda.matmul.fp32_precision
    kind = (hard_negatives is not None, scale_B.requires_grad, hardest_class, backward, precision)
    no_triton = no_triton or (NO_SUB_CENTERS if len(w_CD.shape) == 3 else "")
    problem = no_triton or _problem_of_triton(device, size, *kind)
    if problem is None:
        return "triton"
    _warn_once(f'the head computes with "chunked" on {device}, which is slower than "triton": {problem}')
    return "chunked"


def automatic_backward(implementation: str, backward: Backward, x_BD: Tensor) -> Backward:
    """`backward` where the chosen implementation has it and the device computes it fast, and otherwise "float32", with
    a warning that gives the reason, once."""
    if backward == "float32":
        return backward
    where = f'backward="{backward}" has no effect on {x_BD.device} where the head computes with "{implementation}"'
    if implementation == "eager":
        _warn_once(where)
        return "float32"
    problem = None if implementation == "triton" else problem_of_bf16(x_BD)
    if problem:
        _warn_once(f"{where}: {problem}")
    return "float32" if problem else backward


@cache
def _problem_of_triton(
    device: torch.device, size: int, hard: bool, scaled: bool, hardest_class: bool, backward: Backward, _precision: str
) -> str | None:
    """What a trial with the kernels that a batch of this kind needs has found: None if they are right."""
    try:
        results, truth = (_trial(device, size, hard, scaled, hardest_class, how) for how in (backward, None))
    except ConfigError as error:
        return str(error)
    except Exception as error:  # compilers and drivers raise whatever they like
        first_line = (str(error).strip() or "no message").splitlines()[0]
        return f"a trial of triton failed with {type(error).__name__}: {first_line}"
    names = ("log-sum-exp", "gradient of x", "gradient of W", "hardest class's cosine")
    for name, ours, exact in zip(names, results, truth, strict=True):
        difference = float((ours.double() - exact).norm() / exact.norm())
        if not difference <= _TRIAL_ERROR:
            return f"in a trial of triton the {name} differed by {difference:.0%} from that in float64"
    return None


@torch.inference_mode(False)
@torch.enable_grad()
def _trial(
    device: torch.device, size: int, hard: bool, scaled: bool, hardest_class: bool, backward: Backward | None
) -> list[Tensor]:
    """The log-sum-exp of 300 samples over 700 classes, drawn with a seed of their own, its gradients, and the cosine to
    the hardest class (without `hardest_class` the hardest negative itself): those of triton, or without `backward` the
    true ones."""
    generator = torch.Generator().manual_seed(0)
    x_BD, w_CD = (torch.randn(rows, size, generator=generator) for rows in (300, 700))
    y_B = torch.randint(0, 700, (300,), generator=generator).to(device)
    dtype = torch.float32 if backward else torch.float64
    x_BD, w_CD = (rows.to(device, dtype).requires_grad_() for rows in (F.normalize(x_BD), w_CD))
    scale_B = torch.full((300,), 16.0, device=device, dtype=dtype, requires_grad=scaled)
    hard_negatives = HardNegatives(torch.full_like(scale_B, 0.1).detach(), 0.5, 0.9, 0.05) if hard else None
    if backward is None:
        terms = softmax_terms_chunked(x_BD, w_CD, y_B, scale_B, hard_negatives)
    else:
        terms = softmax_terms_triton(
            x_BD, w_CD, y_B, scale_B, hard_negatives, backward=backward, hardest_class=hardest_class
        )
    total = terms.negative_lse_B.sum() - terms.target_cosine_B.sum()
    hardest_B = terms.hardest_negative_B
    if terms.hardest_class_B is not None:
        hardest_B = (x_BD * F.normalize(w_CD)[terms.hardest_class_B]).sum(1).detach()
    return [terms.negative_lse_B.detach(), *torch.autograd.grad(total, (x_BD, w_CD)), hardest_B]


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)
