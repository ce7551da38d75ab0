"""Launches the kernels of heads/triton_kernels.py as the device needs them.

Shapes: B samples, C classes, D feature values, K classes of one chunk, R blocks of samples.
"""

import math
from types import ModuleType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from facemargin.errors import ConfigError
from facemargin.heads.triton_tiles import SETTINGS, Settings, Tiles

Backward = Literal["float32", "bf16"]
"""The type of the factors of backward's two products."""

_SMALLEST_ROW_BYTES = 16


class Launch(NamedTuple):
    """The kernels with what depends on the device: tiles, precision of products, number of programs. `cut`: whether
    factors lose their last bits unrounded. `backward`: the type of the factors of backward's products."""

    kernels: ModuleType
    settings: Settings
    precision: str
    programs: int
    cut: bool
    backward: Backward

    @classmethod
    def on(cls, device: torch.device, backward: Backward) -> "Launch":
        """Raises ConfigError if triton is missing or `device` cannot run its kernels."""
        kernels = triton_kernels()
        if kernels.INTERPRETED:
            settings = SETTINGS["interpreter", "ieee", backward]
            return cls(kernels, settings, "ieee", programs=6, cut=False, backward=backward)
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
        return cls(kernels, SETTINGS[family, precision, backward], precision, programs, cut, backward)

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

    def centers(
        self, tiles: Tiles, grad_BK: Tensor, x_BD: Tensor, w_KD: Tensor, radial_RK: Tensor, grad_w_KD: Tensor
    ) -> None:
        """Write Gᵀ·x, less the part along each centre, into `grad_w_KD`. G and `radial_RK` may have more columns."""
        k, d = w_KD.shape
        with torch.cuda.device_of(w_KD):
            self.kernels.centers_kernel[(math.ceil(d / tiles.block_d), math.ceil(k / tiles.block_c))](
                self.descriptor(grad_BK, tiles.block_b, tiles.block_c),
                self.descriptor(x_BD, tiles.block_b, tiles.block_d),
                w_KD,
                radial_RK,
                grad_w_KD,
                len(x_BD),
                k,
                len(radial_RK),
                radial_RK.shape[1],
                D=d,
                BLOCK_B=tiles.block_b,
                BLOCK_K=tiles.block_c,
                BLOCK_D=tiles.block_d,
                PRECISION=self.precision,
                num_warps=tiles.warps,
                num_stages=tiles.stages,
            )


def loadable(rows_ND: Tensor) -> Tensor:
    """The rows as a descriptor needs them: contiguous, and each starting at a multiple of 16 bytes."""
    missing = -rows_ND.shape[1] % (_SMALLEST_ROW_BYTES // rows_ND.element_size())
    rows_ND = F.pad(rows_ND, (0, missing)) if missing else rows_ND.contiguous()  # F.pad copies even for nothing
    return rows_ND if rows_ND.data_ptr() % _SMALLEST_ROW_BYTES == 0 else rows_ND.clone()


def triton_kernels() -> ModuleType:
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


def _whole_rows(d: int) -> tuple[int, int]:
    """The power of two not below `d`, and how many rows of that length a program takes at a time."""
    row = 2 ** math.ceil(math.log2(d))
    return row, max(1, 4096 // row)
