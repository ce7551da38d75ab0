"""`softmax_terms` on a GPU: ordinary products, and between them single passes by Triton.

For one chunk of classes after another, a product x·Wᵀ goes into a workspace. In forward a kernel reads it once and
keeps a few numbers per sample. In backward the product is computed again, a kernel turns it into its own gradient G in
one pass, and two products give the gradients of x and W. That makes four products; three are the minimum, with a B×C
matrix kept in between. Every sum has a fixed order (no atomics), so that a step is repeatable bit by bit on one kind of
device.

(Kernels that compute the product themselves were tried, and are slower: without a workspace, but bound by the second
level's cache, since Triton cannot share a load between processors as cuBLAS does. See benchmarks/results/gpu.md.)

Shapes: B samples, C classes, D feature values, K classes of one chunk, S parts of all classes.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.errors import ConfigError
from facemargin.full_precision import Function, without_autocast
from facemargin.heads.rounded_products import Backward
from facemargin.heads.triton_launch import Launch
from facemargin.margins.base import HardNegatives, SoftmaxTerms
from facemargin.transfer import on_device

# Entries of the workspace (256 MB in float32). On an H100 a step at 1024 × 205,990 takes 5.3 ms with these, 5.8 with
# half, 6.5 with a quarter, 8.8 with an eighth, which would fit the cache.
WORKSPACE_ENTRIES = 2**26
# Rows of the workspace begin at multiples of 256 bytes: products with others take three times as long.
_ALIGNED = 64


NO_SUB_CENTERS = "triton has no kernels for sub-centres"


def softmax_terms_triton(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    chunk_classes: int | None = None,
    backward: Backward = "float32",
    hardest_class: bool = False,
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, for float32 on CUDA devices from Ampere on, or on the CPU in Triton's interpreter.

    Products are torch's: in TF32, with factors of 11 significant bits and float32 sums, where
    `torch.set_float32_matmul_precision("high")` allows it. The default `chunk_classes` keeps the workspace at 256 MB.

    `backward`: "bf16" rounds the factors G, x and W of backward's two products to 8 significant bits, each by up to 2⁻⁹
    of its value; sums stay float32. That halves the traffic of G and more than doubles the rate of these products. The
    terms, and the probabilities in G before they are rounded, are those of "float32".

    Raises ConfigError without triton 3.6 or later, for another device, and for float64 and sub-centres, which "chunked"
    computes.
    """
    if w_CD.ndim == 3:
        raise ConfigError(f'{NO_SUB_CENTERS}: use implementation "auto", "chunked" or "eager"')
    launch = Launch.on(x_BD.device)
    if x_BD.dtype != torch.float32:
        raise ConfigError(f'implementation "triton" computes in float32, got {x_BD.dtype}: use "chunked" or "eager"')
    x_BD, w_CD, y_B = x_BD.contiguous(), w_CD.contiguous(), on_device(y_B, None, x_BD.device)
    chunk_classes = max(1, chunk_classes or WORKSPACE_ENTRIES // max(len(x_BD), 1))
    how = (chunk_classes, backward, hardest_class, launch)
    return SoftmaxTerms(*_Fused.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, *how))


class _Fused(Function):
    @staticmethod
    @without_autocast
    def forward(
        ctx: Any,
        x_BD: Tensor,
        w_CD: Tensor,
        y_B: Tensor,
        scale_B: Tensor,
        hard_negatives: HardNegatives | None,
        chunk_classes: int,
        backward: Backward,
        hardest_class: bool,
        launch: Launch,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        inverse_norm_C = launch.inverse_norms(w_CD)
        own_B = (y_B >= 0) & (y_B < len(w_CD))
        label_B = torch.where(own_B, y_B, -1).int()
        # The kernels take powers of 2. No scale is 0: that of a masked cosine, 0·−inf, is not a number.
        binary_scale_B = (scale_B * math.log2(math.e)).clamp(min=1e-30)
        constants = (inverse_norm_C, label_B, binary_scale_B, *_tensors(hard_negatives, scale_B))
        kinds = {"HARD": hard_negatives is not None, "WEIGHTED": ctx.needs_input_grad[3], "CLASS": hardest_class}
        peak_B, sum_B, hardest_B, mean_B, class_B = _negatives(x_BD, w_CD, constants, kinds, chunk_classes, launch)
        ctx.save_for_backward(x_BD, w_CD, scale_B, peak_B, sum_B, mean_B, *constants)
        ctx.hard, ctx.chunk_classes, ctx.backward, ctx.launch = kinds["HARD"], chunk_classes, backward, launch
        ctx.mark_non_differentiable(hardest_B, *([] if class_B is None else [class_B]))
        target_cosine_B = torch.zeros_like(scale_B)
        if len(w_CD):
            own_y_B = y_B.clamp(0, len(w_CD) - 1)
            cosine_B = (x_BD * w_CD[own_y_B]).sum(1) * inverse_norm_C[own_y_B]
            target_cosine_B = torch.where(own_B, cosine_B, target_cosine_B)
        return target_cosine_B, peak_B * scale_B + sum_B.log(), hardest_B, class_B

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, scale_B, peak_B, sum_B, mean_B, *constants = ctx.saved_tensors
        needs_x, needs_w, _, needs_scale = ctx.needs_input_grad[:4]
        launch: Launch = ctx.launch
        # Not finite for a sample without negatives, but then it is not used.
        coefficient_B = grad_lse_B * scale_B / sum_B
        grad_scale_B = torch.where(sum_B == 0, 0, grad_lse_B * mean_B) if needs_scale else None
        grad_x_BD = torch.zeros_like(x_BD) if needs_x else None
        grad_w_CD = (torch.empty_like if len(x_BD) else torch.zeros_like)(w_CD) if needs_w else None
        samples = (*constants, peak_B, coefficient_B, grad_target_B.contiguous())
        if needs_x or needs_w:
            half = ctx.backward == "bf16"
            features_BD = x_BD.bfloat16() if half else x_BD
            for chunk, product_BK in _products(x_BD, w_CD, ctx.chunk_classes):
                w_KD = w_CD[chunk]
                grad_BK = product_BK
                if half:
                    shape, strides = product_BK.shape, product_BK.stride()
                    grad_BK = torch.empty_strided(shape, strides, dtype=torch.bfloat16, device=x_BD.device)
                launch.gradient(product_BK, grad_BK, samples, chunk.start, ctx.hard)
                if grad_x_BD is not None:
                    _add_product(grad_x_BD, grad_BK, w_KD.bfloat16() if half else w_KD)
                if grad_w_CD is not None:
                    _product(grad_BK.T, features_BD, out=grad_w_CD[chunk])
                    launch.project(grad_w_CD[chunk], w_KD, constants[0][chunk])
        return grad_x_BD, grad_w_CD, None, grad_scale_B, None, None, None, None, None


def _products(x_BD: Tensor, w_CD: Tensor, chunk_classes: int) -> Iterator[tuple[slice, Tensor]]:
    """Yields each chunk of classes and its product x·Wᵀ, (B, K), whose memory the next one overwrites."""
    b, c = len(x_BD), len(w_CD)
    if b == 0 or c == 0:
        return
    columns = math.ceil(min(chunk_classes, c) / _ALIGNED) * _ALIGNED
    workspace_BK = x_BD.new_empty(b, columns)
    for first in range(0, c, columns):
        chunk = slice(first, min(first + columns, c))
        yield chunk, torch.mm(x_BD, w_CD[chunk].T, out=workspace_BK[:, : chunk.stop - first])


def _negatives(
    x_BD: Tensor,
    w_CD: Tensor,
    constants: tuple[Tensor, ...],
    kinds: dict[str, bool],
    chunk_classes: int,
    launch: Launch,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """Of every sample's negatives: the largest cosine after the quadratic (0 without negatives), Σ exp(scale·(cosine −
    largest)) (0), the largest before the quadratic (−inf), the mean of the cosines under their softmax (if
    `kinds["WEIGHTED"]`), and the class of the largest before the quadratic (if `kinds["CLASS"]`; −1)."""
    b, binary_scale_B = len(x_BD), constants[2]
    parts = launch.parts(b, min(chunk_classes, len(w_CD))) if b else 1
    chunks = max(1, math.ceil(len(w_CD) / chunk_classes))
    peak_SB, hardest_SB = (x_BD.new_full((parts * chunks, b), -torch.inf) for _ in range(2))
    sum_SB, weighted_SB = (x_BD.new_zeros(parts * chunks, b) for _ in range(2))
    class_SB = peak_SB.new_full(peak_SB.shape if kinds["CLASS"] else (1, 1), -1, dtype=torch.int32)
    outputs = (peak_SB, sum_SB, hardest_SB, weighted_SB, class_SB)
    for number, (chunk, product_BK) in enumerate(_products(x_BD, w_CD, chunk_classes)):
        launch.statistics(product_BK, constants, outputs, chunk.start, number * parts, parts, **kinds)
    peak_B = peak_SB.amax(0)
    hardest_B, class_B = hardest_SB.amax(0) if kinds["HARD"] else peak_B, None
    if kinds["CLASS"]:
        part_B = (hardest_SB if kinds["HARD"] else peak_SB).argmax(0)
        class_B = class_SB.gather(0, part_B[None]).squeeze(0).long()
    peak_B = torch.where(peak_B == -torch.inf, 0, peak_B)
    share_SB = ((peak_SB - peak_B) * binary_scale_B).exp2()
    sum_B = (sum_SB * share_SB).sum(0)
    mean_B = (weighted_SB * share_SB).sum(0) / sum_B
    # A maximum may ignore NaN; the sum does not.
    hardest_B = torch.where(sum_B.isnan(), sum_B, hardest_B)
    class_B = None if class_B is None else class_B.masked_fill_(~hardest_B.isfinite(), -1)
    return peak_B, sum_B, hardest_B, mean_B, class_B


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Add a·b, with float32 sums, to a float32 tensor."""
    if a.dtype == torch.float32:
        total.addmm_(a, b)
    else:
        total += _product(a, b, torch.empty_like(total))


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a·b with float32 sums into the float32 tensor `out`."""
    if a.dtype == torch.float32:
        return torch.mm(a, b, out=out)
    if not a.is_cuda:  # the CPU, where kernels are interpreted, has no such product
        return torch.mm(a.float(), b.float(), out=out)
    return torch.mm(a, b, out_dtype=torch.float32, out=out)


def _tensors(hard_negatives: HardNegatives | None, scale_B: Tensor) -> tuple[Tensor, Tensor]:
    """The thresholds (B,) and the three coefficients of the quadratic, where the scale is; never read if None."""
    if hard_negatives is None:
        return scale_B, scale_B
    threshold_B, *quadratic = hard_negatives
    values = [v.to(scale_B) if isinstance(v, Tensor) else scale_B.new_full((), v) for v in quadratic]
    return threshold_B.to(scale_B).contiguous(), torch.stack(values)
