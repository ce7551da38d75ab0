"""`softmax_terms` on a GPU, fused by Triton: no B×C matrix is stored, neither in forward nor in backward.

In forward, one kernel computes tiles of cosines in registers and writes a few numbers per sample and split of the
classes. In backward, for one chunk of classes after another, a kernel computes the tiles again and writes the gradient
G_BK of x·w into a workspace. Two products turn it into the gradients of x and W. That makes four products; three are
the minimum. Every sum has a fixed order (no atomics; tile sizes from a table, not from timings), so that a step is
repeatable bit by bit on one kind of device.

Shapes: B samples, C classes, D feature values, K classes of one chunk, S splits of the classes, R blocks of samples.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.errors import ConfigError
from facemargin.full_precision import Function, without_autocast
from facemargin.heads.triton_launch import Backward, Launch, loadable
from facemargin.margins.base import HardNegatives, SoftmaxTerms
from facemargin.transfer import on_device

_LARGEST_CHUNK = 2**16


def softmax_terms_triton(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    chunk_classes: int | None = None,
    backward: Backward = "float32",
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, for float32 on CUDA devices from Ampere on, or on the CPU in Triton's interpreter.

    Products are in TF32 if torch's own may be (`torch.set_float32_matmul_precision("high")`): factors have 11
    significant bits, sums are float32. A cosine is then wrong by up to about 1e-4, at random. Triton 3.7 rounds both
    factors. The matrix units themselves cut the last bits off, which would shrink every cosine by up to 7e-4; so with
    triton 3.6, x is rounded before, and what is left of W is divided by its own norm. Otherwise each product is made of
    three TF32 products, which is as precise as float32 except for the last bits. The default `chunk_classes` keeps G_BK
    at 64 MB, on Hopper at 256 MB. If D is not a multiple of 4, x and W are first copied into rows whose length is one.

    `backward`: "bf16" rounds the factors G, x and W of backward's two products to 8 significant bits, each by up to 2⁻⁹
    of its value; sums stay float32. That halves the traffic of G and doubles the rate of these products. The terms, and
    the probabilities in G before they are rounded, are those of "float32".

    Raises ConfigError without triton 3.6 or later, for another device, and for float64, which "chunked" computes.
    """
    launch = Launch.on(x_BD.device, backward)
    if x_BD.dtype != torch.float32:
        raise ConfigError(f'implementation "triton" computes in float32, got {x_BD.dtype}: use "chunked" or "eager"')
    x_BD, w_CD, y_B = loadable(x_BD), loadable(w_CD), on_device(y_B, None, x_BD.device)
    chunk_classes = chunk_classes or min(launch.settings.chunk_entries // max(len(x_BD), 1), _LARGEST_CHUNK)
    return SoftmaxTerms(*_Fused.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, chunk_classes, launch))


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
        launch: Launch,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inverse_norm_C, factor_norm_C = launch.inverse_norms(w_CD)
        own_B = (y_B >= 0) & (y_B < len(w_CD))
        label_B = torch.where(own_B, y_B, -1).int()
        # The kernels take powers of 2. No scale is 0: that of a masked cosine, 0·−inf, is not a number.
        binary_scale_B = (scale_B * math.log2(math.e)).clamp(min=1e-30)
        constants = (factor_norm_C, label_B, binary_scale_B, *_tensors(hard_negatives, scale_B))
        kinds = {"HARD": hard_negatives is not None, "WEIGHTED": ctx.needs_input_grad[3]}
        peak_B, sum_B, hardest_B, mean_B = _negatives(launch.factor(x_BD), w_CD, constants, kinds, launch)
        ctx.save_for_backward(x_BD, w_CD, scale_B, peak_B, sum_B, mean_B, inverse_norm_C, *constants)
        ctx.hard, ctx.chunk_classes, ctx.launch = kinds["HARD"], chunk_classes, launch
        ctx.mark_non_differentiable(hardest_B)
        target_cosine_B = torch.zeros_like(scale_B)
        if len(w_CD):
            own_y_B = y_B.clamp(0, len(w_CD) - 1)
            cosine_B = (x_BD * w_CD[own_y_B]).sum(1) * inverse_norm_C[own_y_B]
            target_cosine_B = torch.where(own_B, cosine_B, target_cosine_B)
        return target_cosine_B, peak_B * scale_B + sum_B.log(), hardest_B

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, scale_B, peak_B, sum_B, mean_B, inverse_norm_C, *constants = ctx.saved_tensors
        needs_x, needs_w, _, needs_scale = ctx.needs_input_grad[:4]
        launch: Launch = ctx.launch
        # Not finite for a sample without negatives, but then it is not used.
        coefficient_B = grad_lse_B * scale_B / sum_B
        grad_scale_B = torch.where(sum_B == 0, 0, grad_lse_B * mean_B) if needs_scale else None
        grad_x_BD = torch.zeros_like(x_BD) if needs_x else None
        grad_w_CD = (torch.empty_like if len(x_BD) else torch.zeros_like)(w_CD) if needs_w else None
        samples = (*constants, peak_B, coefficient_B, grad_target_B.contiguous(), inverse_norm_C)
        if needs_x or needs_w:
            kinds = {"HARD": ctx.hard, "RADIAL": needs_w and launch.settings.centers is not None}
            chunks = _gradient_chunks(launch.factor(x_BD), w_CD, samples, kinds, ctx.chunk_classes, launch)
            products = _BackwardProducts(x_BD, launch)
            for chunk, grad_BK, radial_RK in chunks:
                if grad_x_BD is not None:
                    products.add_to_features(grad_x_BD, grad_BK, w_CD[chunk])
                if grad_w_CD is not None:
                    products.centers(grad_w_CD[chunk], grad_BK, radial_RK, w_CD[chunk], inverse_norm_C[chunk])
        return grad_x_BD, grad_w_CD, None, grad_scale_B, None, None, None


def _negatives(
    x_BD: Tensor, w_CD: Tensor, constants: tuple[Tensor, ...], kinds: dict[str, bool], launch: Launch
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every sample's negatives: the largest cosine after the quadratic (0 without negatives), Σ exp(scale·(cosine −
    largest)) (0), the largest before the quadratic (−inf), and the mean of the cosines under their softmax (if
    `kinds["WEIGHTED"]`)."""
    b, c, tiles = len(x_BD), len(w_CD), launch.settings.statistics
    row_blocks, class_blocks = math.ceil(b / tiles.block_b), math.ceil(c / tiles.block_c)
    splits = max(1, min(launch.programs // max(row_blocks, 1), class_blocks))
    peak_SB, hardest_SB = (x_BD.new_full((splits, b), -torch.inf) for _ in range(2))
    sum_SB, weighted_SB = (x_BD.new_zeros(splits, b) for _ in range(2))
    if b and c:
        outputs = (peak_SB, sum_SB, hardest_SB if kinds["HARD"] else peak_SB, weighted_SB)
        sizes = (b, c, math.ceil(class_blocks / splits))
        kernel, grid = launch.kernels.statistics_kernel, (row_blocks, splits)
        launch.over_tiles(kernel, tiles, grid, x_BD, w_CD, *constants, *outputs, *sizes, **kinds)
    peak_B = peak_SB.amax(0)
    hardest_B = hardest_SB.amax(0) if kinds["HARD"] else peak_B
    peak_B = torch.where(peak_B == -torch.inf, 0, peak_B)
    binary_scale_B = constants[2]
    share_SB = ((peak_SB - peak_B) * binary_scale_B).exp2()
    sum_B = (sum_SB * share_SB).sum(0)
    mean_B = (weighted_SB * share_SB).sum(0) / sum_B
    # A maximum may ignore NaN; the sum does not.
    return peak_B, sum_B, torch.where(sum_B.isnan(), sum_B, hardest_B), mean_B


def _gradient_chunks(
    x_BD: Tensor, w_CD: Tensor, samples: tuple[Tensor, ...], kinds: dict[str, bool], chunk_classes: int, launch: Launch
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yields, for each chunk of classes: which they are, the gradient with respect to x·w, (B, K or more columns), and,
    if `kinds["RADIAL"]`, the parts of its centres' gradient along them, in multiples of the centre, from each block of
    samples: (R, as many columns). The next chunk overwrites the last two."""
    b, c, tiles = len(x_BD), len(w_CD), launch.settings.gradient
    if b == 0 or c == 0:
        return
    block_c, row_blocks = tiles.block_c, math.ceil(b / tiles.block_b)
    columns = math.ceil(min(chunk_classes, c) / block_c) * block_c
    half = launch.backward == "bf16"
    workspace_BK = x_BD.new_empty(b, columns, dtype=torch.bfloat16 if half else torch.float32)
    radial_RK = x_BD.new_empty(row_blocks, columns if kinds["RADIAL"] else 0)
    stored = launch.descriptor(workspace_BK, tiles.block_b, block_c)
    for first in range(0, c, columns):
        classes = min(columns, c - first)
        grid = (row_blocks, math.ceil(classes / block_c))
        kernel, settings = launch.kernels.gradient_kernel, {**kinds, "CUT": launch.cut, "HALF": half}
        sizes = (first, b, c, columns)
        launch.over_tiles(kernel, tiles, grid, x_BD, w_CD, stored, radial_RK, *samples, *sizes, **settings)
        yield slice(first, first + classes), workspace_BK, radial_RK


class _BackwardProducts:
    """G·W and Gᵀ·x, with factors of the type that `launch.backward` names, and float32 sums."""

    def __init__(self, x_BD: Tensor, launch: Launch) -> None:
        self._half, self._launch = launch.backward == "bf16", launch
        self._x_BD = loadable(x_BD.bfloat16()) if self._half else x_BD

    def add_to_features(self, grad_x_BD: Tensor, grad_BK: Tensor, w_KD: Tensor) -> None:
        """Add G·W to the gradient of the features."""
        grad_BK = grad_BK[:, : len(w_KD)]
        if self._half:
            grad_x_BD += self._product(grad_BK, w_KD.bfloat16(), torch.empty_like(grad_x_BD))
        else:
            grad_x_BD.addmm_(grad_BK, w_KD)

    def centers(
        self, grad_w_KD: Tensor, grad_BK: Tensor, radial_RK: Tensor, w_KD: Tensor, inverse_norm_K: Tensor
    ) -> None:
        """Write Gᵀ·x, less the part along each centre, which does not change its direction."""
        tiles = self._launch.settings.centers
        if tiles is None:
            self._product(grad_BK[:, : len(w_KD)].T, self._x_BD[:, : w_KD.shape[1]], grad_w_KD)
            self._launch.project(grad_w_KD, w_KD, inverse_norm_K)
        else:
            self._launch.centers(tiles, grad_BK, self._x_BD, w_KD, radial_RK, grad_w_KD)

    def _product(self, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        if not self._half:
            return torch.mm(a, b, out=out)
        if self._launch.kernels.INTERPRETED:  # on the CPU torch has no such product
            return torch.mm(a.float(), b.float(), out=out)
        return torch.mm(a, b, out_dtype=torch.float32, out=out)


def _tensors(hard_negatives: HardNegatives | None, scale_B: Tensor) -> tuple[Tensor, Tensor]:
    """The thresholds (B,) and the three coefficients of the quadratic, where the scale is; never read if None."""
    if hard_negatives is None:
        return scale_B, scale_B
    threshold_B, *quadratic = hard_negatives
    values = [v.to(scale_B) if isinstance(v, Tensor) else scale_B.new_full((), v) for v in quadratic]
    return threshold_B.to(scale_B).contiguous(), torch.stack(values)
