"""Launches the kernels of heads/triton_kernels.py.

Shapes: B samples, C classes, D feature values, K classes of one chunk, S parts of all classes.
"""

import math
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from facemargin.errors import ConfigError

# Numbers that a program holds in registers. A block of one sample and many classes reads whole lines of memory.
_BLOCK_B, _BLOCK_K, _ROW_NUMBERS = 1, 1024, 4096
# The interpreter takes its time for every program, not for every number.
_BLOCK_B_INTERPRETED, _BLOCK_K_INTERPRETED = 16, 32


class Launch(NamedTuple):
    """The kernels with what depends on the device: the block that a program takes, and how many programs fill it."""

    kernels: ModuleType
    block_b: int
    block_k: int
    programs: int

    @classmethod
    def on(cls, device: torch.device) -> "Launch":
        """Raises ConfigError if triton is missing or `device` cannot run its kernels."""
        kernels = triton_kernels()
        if kernels.INTERPRETED:
            return cls(kernels, _BLOCK_B_INTERPRETED, _BLOCK_K_INTERPRETED, programs=6)
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
        return cls(kernels, _BLOCK_B, _BLOCK_K, programs=8 * properties.multi_processor_count)

    def parts(self, b: int, k: int) -> int:
        """Into how many parts `statistics` divides a chunk of `k` classes, so that there are programs enough."""
        return max(1, min(self.programs // math.ceil(b / self.block_b), math.ceil(k / self.block_k)))

    def statistics(
        self,
        product_BK: Tensor,
        constants: tuple[Tensor, ...],
        outputs: tuple[Tensor, ...],
        first_class: int,
        first_part: int,
        parts: int,
        **kinds: bool,
    ) -> None:
        """Write the statistics of a chunk into rows `first_part` to `first_part` + `parts` of the outputs (S, B)."""
        b, k = product_BK.shape
        columns = math.ceil(math.ceil(k / parts) / self.block_k) * self.block_k
        with torch.cuda.device_of(product_BK):
            self.kernels.statistics_kernel[(math.ceil(b / self.block_b), parts)](
                product_BK,
                product_BK.stride(0),
                *constants,
                *outputs,
                first_class,
                b,
                k,
                first_part,
                columns,
                BLOCK_B=self.block_b,
                BLOCK_K=self.block_k,
                **kinds,
            )

    def gradient(
        self, product_BK: Tensor, grad_BK: Tensor, samples: tuple[Tensor, ...], first_class: int, hard: bool
    ) -> None:
        """Write the gradient with respect to the product into `grad_BK`, whose rows are as far apart."""
        b, k = product_BK.shape
        grid = (math.ceil(b / self.block_b), math.ceil(k / self.block_k))
        sizes: dict[str, Any] = {"HARD": hard, "BLOCK_B": self.block_b, "BLOCK_K": self.block_k}
        with torch.cuda.device_of(product_BK):
            self.kernels.gradient_kernel[grid](
                product_BK, grad_BK, product_BK.stride(0), *samples, first_class, b, k, **sizes
            )

    def inverse_norms(self, w_CD: Tensor) -> Tensor:
        """1/norm of each centre, (C,); 1 for a centre of zeros."""
        c, d = w_CD.shape
        inverse_norm_C = w_CD.new_empty(c)
        if c:
            row, block_c = _whole_rows(d)
            with torch.cuda.device_of(w_CD):
                self.kernels.inverse_norms_kernel[(math.ceil(c / block_c),)](
                    w_CD, inverse_norm_C, c, D=d, BLOCK_C=block_c, ROW=row
                )
        return inverse_norm_C

    def project(self, grad_KD: Tensor, w_KD: Tensor, inverse_norm_K: Tensor) -> None:
        """Remove from each row of the gradient the part along its centre, in place."""
        k, d = grad_KD.shape
        row, block_k = _whole_rows(d)
        with torch.cuda.device_of(w_KD):
            self.kernels.project_kernel[(math.ceil(k / block_k),)](
                grad_KD, w_KD, inverse_norm_K, k, D=d, BLOCK_K=block_k, ROW=row
            )


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
    return row, max(1, _ROW_NUMBERS // row)
