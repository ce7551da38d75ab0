"""`softmax_terms` on a GPU, fused by Triton: no B×C matrix is stored, neither in forward nor in backward.

In forward, one kernel computes tiles of cosines in registers and writes a few numbers per sample and split of the
classes. In backward, for one chunk of classes after another, a kernel computes the tiles again and writes the gradient
G_BK of x·w into a workspace. Two ordinary matrix products turn it into the gradients of x and W. That makes four
products; three are the minimum. Every sum has a fixed order (no atomics; tile sizes from a table, not from timings), so
that a step is repeatable bit by bit on one kind of device.

Shapes: B samples, C classes, D feature values, K classes of one chunk, S splits of the classes.
"""

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from facemargin.errors import ConfigError
from facemargin.full_precision import Function, without_autocast
from facemargin.margins.base import HardNegatives, SoftmaxTerms
from facemargin.transfer import on_device

# Entries of G_BK held at a time (64 MB). A chunk of this size is enough work to hide the launches of its kernels.
_CHUNK_ENTRIES = 2**24
_LARGEST_CHUNK = 2**16


class Tiles(NamedTuple):
    """How a kernel cuts B×C×D, the warps of a program, and how many loads are under way at a time."""

    block_b: int
    block_c: int
    block_d: int
    warps: int
    stages: int


#: (statistics, gradient) by family of devices and precision, chosen by the registers, spills and shared memory that the
#: compiler reports: for the statistics the largest tile that fits the registers, as it reads the fewest operands; of
#: Hopper's gradient programs two to a processor, one's stores behind the other's products. Not timed on a device yet:
#: `benchmarks/triton_head.py --tiles` does that.
TILES: dict[tuple[str, str], tuple[Tiles, Tiles]] = {
    ("hopper", "tf32"): (Tiles(128, 256, 32, 8, 3), Tiles(128, 128, 32, 4, 3)),
    ("hopper", "tf32x3"): (Tiles(128, 128, 32, 8, 3), Tiles(128, 128, 32, 8, 3)),
    ("ampere", "tf32"): (Tiles(64, 128, 32, 8, 3), Tiles(64, 128, 32, 8, 3)),
    ("ampere", "tf32x3"): (Tiles(64, 64, 32, 8, 3), Tiles(64, 64, 32, 8, 3)),
    ("interpreter", "ieee"): (Tiles(16, 32, 16, 4, 1), Tiles(16, 16, 16, 4, 1)),
}


def softmax_terms_triton(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    chunk_classes: int | None = None,
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, for float32 on CUDA devices from Ampere on, or on the CPU in Triton's interpreter.

    Products are in TF32 if torch's own may be (`torch.set_float32_matmul_precision("high")`): factors have 11
    significant bits, sums are float32. A cosine is then wrong by up to about 1e-4, at random. Triton 3.7 rounds both
    factors. The matrix units themselves cut the last bits off, which would shrink every cosine by up to 7e-4; so with
    triton 3.6, x is rounded before, and what is left of W is divided by its own norm. Otherwise each product is made of
    three TF32 products, which is as precise as float32 except for the last bits. The default `chunk_classes` keeps G_BK
    at 64 MB. If D is not a multiple of 4, x and W are first copied into rows whose length is one.

    Raises ConfigError without triton 3.6 or later, for another device, and for float64, which "chunked" computes.
    """
    launch = _Launch.on(x_BD.device)
    if x_BD.dtype != torch.float32:
        raise ConfigError(f'implementation "triton" computes in float32, got {x_BD.dtype}: use "chunked" or "eager"')
    x_BD, w_CD, y_B = _loadable(x_BD), _loadable(w_CD), on_device(y_B, None, x_BD.device)
    chunk_classes = chunk_classes or min(_CHUNK_ENTRIES // max(len(x_BD), 1), _LARGEST_CHUNK)
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
        launch: "_Launch",
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
        launch: _Launch = ctx.launch
        # Not finite for a sample without negatives, but then it is not used.
        coefficient_B = grad_lse_B * scale_B / sum_B
        grad_scale_B = torch.where(sum_B == 0, 0, grad_lse_B * mean_B) if needs_scale else None
        grad_x_BD = torch.zeros_like(x_BD) if needs_x else None
        grad_w_CD = (torch.empty_like if len(x_BD) else torch.zeros_like)(w_CD) if needs_w else None
        samples = (*constants, peak_B, coefficient_B, grad_target_B.contiguous(), inverse_norm_C)
        if needs_x or needs_w:
            factor_BD = launch.factor(x_BD)
            for first, grad_BK in _gradient_chunks(factor_BD, w_CD, samples, ctx.hard, ctx.chunk_classes, launch):
                chunk = slice(first, first + grad_BK.shape[1])
                if grad_x_BD is not None:
                    grad_x_BD.addmm_(grad_BK, w_CD[chunk])
                if grad_w_CD is not None:
                    torch.mm(grad_BK.T, x_BD, out=grad_w_CD[chunk])
                    launch.project(grad_w_CD[chunk], w_CD[chunk], inverse_norm_C[chunk])
        return grad_x_BD, grad_w_CD, None, grad_scale_B, None, None, None


class _Launch(NamedTuple):
    """The kernels with the settings that depend on the device: tiles, precision of products, number of programs.
    `cut`: whether factors lose their last bits unrounded."""

    kernels: ModuleType
    statistics: Tiles
    gradient: Tiles
    precision: str
    programs: int
    cut: bool = False

    @classmethod
    def on(cls, device: torch.device) -> "_Launch":
        """Raises ConfigError if triton is missing or `device` cannot run its kernels."""
        kernels = _kernels()
        if kernels.INTERPRETED:
            return cls(kernels, *TILES["interpreter", "ieee"], "ieee", programs=6)
        if device.type != "cuda" or torch.version.hip is not None:
            raise ConfigError(
                f'implementation "triton" needs an NVIDIA GPU, but the features are on {device}: use "chunked" or '
                '"auto" (with TRITON_INTERPRET=1 in the environment it runs on the CPU, slowly, to check results)'
            )
        properties = torch.cuda.get_device_properties(device)
        if properties.major < 8:
            raise ConfigError(
                f'implementation "triton" needs compute capability 8.0 or later, but {properties.name} has '
                f'{properties.major}.{properties.minor}: use "chunked" or "auto"'
            )
        precision = "tf32" if torch.backends.cuda.matmul.fp32_precision == "tf32" else "tf32x3"
        # Consumer Blackwell (12.x) has Ampere's matrix instructions and little shared memory.
        family = "hopper" if properties.major in (9, 10) else "ampere"
        programs = 2 * properties.multi_processor_count
        cut = precision == "tf32" and not kernels.ROUNDS_TO_TF32
        return cls(kernels, *TILES[family, precision], precision, programs, cut)

    def over_tiles(
        self,
        kernel: Any,
        tiles: Tiles,
        grid: tuple[int, int],
        x_BD: Tensor,
        w_CD: Tensor,
        *arguments: Any,
        **kinds: bool,
    ) -> None:
        """Run a kernel over tiles of cosines. To TF32, x and W are rounded as they are loaded, where Triton can."""
        rounded = self.precision == "tf32" and not self.cut
        with torch.cuda.device_of(x_BD):
            kernel[grid](
                self.descriptor(x_BD, tiles.block_b, tiles.block_d, rounded),
                self.descriptor(w_CD, tiles.block_c, tiles.block_d, rounded),
                *arguments,
                D=x_BD.shape[1],
                BLOCK_B=tiles.block_b,
                BLOCK_C=tiles.block_c,
                BLOCK_D=tiles.block_d,
                PRECISION=self.precision,
                num_warps=tiles.warps,
                num_stages=tiles.stages,
                **kinds,
            )

    def descriptor(self, rows_ND: Tensor, block_n: int, block_d: int, rounded: bool = False) -> Any:
        """The rows as a kernel loads or stores them, block by block. One row's stride may be anything to torch."""
        strides = [rows_ND.shape[1], 1]
        rounding = {"round_f32_to_tf32": True} if rounded else {}
        return self.kernels.TensorDescriptor(rows_ND, list(rows_ND.shape), strides, [block_n, block_d], **rounding)

    def factor(self, x_BD: Tensor) -> Tensor:
        """The features as a factor of products: rounded to the 11 bits that are left, where bits are cut off."""
        if not self.cut:
            return x_BD
        shifted_BD = x_BD * (2**13 + 1)
        return shifted_BD - (shifted_BD - x_BD)

    def inverse_norms(self, w_CD: Tensor) -> tuple[Tensor, Tensor]:
        """1/norm of each centre and of each as a factor of products, (C,) both; 1 for a centre of zeros."""
        c, d = w_CD.shape
        inverse_norm_C = w_CD.new_empty(c)
        factor_norm_C = w_CD.new_empty(c) if self.cut else inverse_norm_C
        if c:
            row, block_c = _whole_rows(d)
            with torch.cuda.device_of(w_CD):
                self.kernels.inverse_norms_kernel[(math.ceil(c / block_c),)](
                    w_CD, inverse_norm_C, factor_norm_C, c, D=d, BLOCK_C=block_c, ROW=row, CUT=self.cut
                )
        return inverse_norm_C, factor_norm_C

    def project(self, grad_KD: Tensor, w_KD: Tensor, inverse_norm_K: Tensor) -> None:
        """Remove from each row of the gradient the part along its centre, in place."""
        k, d = grad_KD.shape
        row, block_k = _whole_rows(d)
        with torch.cuda.device_of(w_KD):
            self.kernels.project_kernel[(math.ceil(k / block_k),)](
                grad_KD, w_KD, inverse_norm_K, k, D=d, BLOCK_K=block_k, ROW=row
            )


def _negatives(
    x_BD: Tensor, w_CD: Tensor, constants: tuple[Tensor, ...], kinds: dict[str, bool], launch: _Launch
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every sample's negatives: the largest cosine after the quadratic (0 without negatives), Σ exp(scale·(cosine −
    largest)) (0), the largest before the quadratic (−inf), and the mean of the cosines under their softmax (if
    `kinds["WEIGHTED"]`)."""
    b, c, tiles = len(x_BD), len(w_CD), launch.statistics
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
    x_BD: Tensor, w_CD: Tensor, samples: tuple[Tensor, ...], hard: bool, chunk_classes: int, launch: _Launch
) -> Iterator[tuple[int, Tensor]]:
    """Yields (first class, gradient with respect to x·w) for each chunk of classes. The next chunk overwrites the
    gradient."""
    b, c, tiles = len(x_BD), len(w_CD), launch.gradient
    if b == 0 or c == 0:
        return
    block_c = tiles.block_c
    chunk = math.ceil(min(chunk_classes, c) / block_c) * block_c
    workspace_BK = x_BD.new_empty(b, chunk)
    stored = launch.descriptor(workspace_BK, tiles.block_b, block_c)
    for first in range(0, c, chunk):
        classes = min(chunk, c - first)
        grid = (math.ceil(b / tiles.block_b), math.ceil(classes / block_c))
        kernel = launch.kernels.gradient_kernel
        launch.over_tiles(kernel, tiles, grid, x_BD, w_CD, stored, *samples, first, b, c, HARD=hard, CUT=launch.cut)
        yield first, workspace_BK[:, :classes]


def _whole_rows(d: int) -> tuple[int, int]:
    """The power of two not below `d`, and how many rows of that length a program takes at a time."""
    row = 2 ** math.ceil(math.log2(d))
    return row, max(1, 4096 // row)


def _tensors(hard_negatives: HardNegatives | None, scale_B: Tensor) -> tuple[Tensor, Tensor]:
    """The thresholds (B,) and the three coefficients of the quadratic, where the scale is; never read if None."""
    if hard_negatives is None:
        return scale_B, scale_B
    threshold_B, *quadratic = hard_negatives
    values = [v.to(scale_B) if isinstance(v, Tensor) else scale_B.new_full((), v) for v in quadratic]
    return threshold_B.to(scale_B).contiguous(), torch.stack(values)


def _loadable(rows_ND: Tensor) -> Tensor:
    """The rows as a descriptor needs them: contiguous, and each starting at a multiple of 16 bytes."""
    missing = -rows_ND.shape[1] % 4
    rows_ND = F.pad(rows_ND, (0, missing)) if missing else rows_ND.contiguous()  # F.pad copies even for nothing
    return rows_ND if rows_ND.data_ptr() % 16 == 0 else rows_ND.clone()


def _kernels() -> ModuleType:
    """The module heads/triton_kernels.py, which imports triton. Raises ConfigError if triton is missing or too old."""
    try:
        import triton
    except ModuleNotFoundError:
        state = "it is not installed"
    else:
        state = f"version {triton.__version__} is installed"
        if tuple(int(part) for part in triton.__version__.split(".")[:2]) >= (3, 6):
            from facemargin.heads import triton_kernels

            return triton_kernels
    raise ConfigError(
        f'implementation "triton" needs triton 3.6 or later, but {state}: run pip install "triton>=3.6" (Linux; '
        'torch for CUDA includes it), or use "chunked" or "auto"'
    )
