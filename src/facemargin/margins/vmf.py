"""The normaliser of the von Mises–Fisher density, and the Bessel ratio, which is minus its logarithm's derivative.

f(x; μ, κ) = c_n(κ)·exp(κ·μᵀx) on the unit sphere of n dimensions, c_n(κ) = κ^ν / ((2π)^{n/2}·I_ν(κ)), ν = n/2 − 1.

Both functions work on I_μ(κ)/κ^μ and ρ_μ = I_{μ+1}(κ)/(κ·I_μ(κ)), which are smooth and positive down to κ = 0. At an
order N of at least 32 they come from Debye's expansion (DLMF 10.41), whose logarithm is taken term by term; smaller
orders follow by I_{μ−1} = I_{μ+1} + (2μ/κ)·I_μ, downwards, where it is stable. The inner arithmetic is in float64.
Shapes: any.
"""

import functools
import math
from typing import Any

import torch
from numpy.polynomial import Polynomial
from torch import Tensor

from facemargin.full_precision import Function
from facemargin.transfer import on_device

# From this order on, this number of terms leaves an error below float64's rounding.
_SMALLEST_ORDER = 32
_TERMS = 10


def log_vmf_normalizer(kappa: Tensor, dimension: int) -> Tensor:
    """log c_n(κ) of every κ ≥ 0 for n = `dimension` ≥ 2, in κ's type; its derivative is −A_n(κ), see `bessel_ratio`.

    At κ = 0 it is log(Γ(n/2) / (2·π^{n/2})), one over the sphere's area. Largest errors against mpmath for n from 2 to
    1024 and κ from 1e-3 to 1e4: 4e-12 absolute and 4e-14 of max(1, |log c_n|) in float64; float32's rounding, 6e-8 of
    max(1, |log c_n|), in float32. Beyond, up to κ = 1e38, it stays finite.
    """
    normalizer: Tensor = _LogNormalizer.apply(kappa, dimension)
    return normalizer


def bessel_ratio(kappa: Tensor, dimension: int) -> Tensor:
    """A_n(κ) = I_{n/2}(κ) / I_{n/2−1}(κ) of every κ ≥ 0 for n = `dimension` ≥ 2, in [0, 1), in κ's type: the length of
    the density's mean. Differentiable any number of times.

    Largest relative error over the same grid: 9e-16 (its derivative 2e-11) in float64, 6e-8 (6e-8) in float32.
    """
    kappa64 = kappa.double()
    return (kappa64 * _orders_down_to(dimension / 2 - 1, kappa64)[1]).to(kappa.dtype)


class _LogNormalizer(Function):
    @staticmethod
    def forward(ctx: Any, kappa: Tensor, dimension: int) -> Tensor:
        ctx.save_for_backward(kappa)
        ctx.dimension = dimension
        log_bessel, _ = _orders_down_to(dimension / 2 - 1, kappa.double())
        return (-dimension / 2 * math.log(2 * math.pi) - log_bessel).to(kappa.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kappa,) = ctx.saved_tensors
        return -gradient * bessel_ratio(kappa, ctx.dimension), None


def _orders_down_to(order: float, kappa: Tensor) -> tuple[Tensor, Tensor]:
    """log(I_ν/κ^ν) and ρ_ν for ν = `order`."""
    steps = max(0, math.ceil(_SMALLEST_ORDER - order))
    log_bessel, ratio = _debye(order + steps, kappa)
    squared = kappa.square()
    for step in range(steps, 0, -1):
        ratio = 1 / (2 * (order + step) + squared * ratio)
        log_bessel = log_bessel - ratio.log()
    return log_bessel, ratio


def _debye(order: float, kappa: Tensor) -> tuple[Tensor, Tensor]:
    """log(I_N/κ^N) and ρ_N for a large N = `order`, which is the former's derivative over κ.

    With w = √(N² + κ²) and p = N/w: log(I_N/κ^N) = w − N·log(N + w) − ½·log(2πw) + Σ_k D_k(p)/N^k.
    """
    slopes, powers = (on_device(values, kappa.dtype, kappa.device) for values in _debye_slopes())
    w = torch.sqrt(order**2 + kappa.square())
    # D_k and its slope hold the powers k, k+2, … of p, so that D_k(p)/N^k is w^−k times a polynomial in p².
    even_powers = ((order / w) ** 2)[..., None] ** torch.arange(_TERMS + 1, device=kappa.device)
    inverse_powers = w[..., None] ** -torch.arange(1, _TERMS + 1, device=kappa.device)
    series = (even_powers @ (slopes / powers).T * inverse_powers).sum(-1)
    slope = (even_powers @ slopes.T * inverse_powers).sum(-1) / w.square()
    log_bessel = w - order * torch.log(order + w) - 0.5 * torch.log(2 * math.pi * w) + series
    return log_bessel, 1 / (order + w) - 0.5 / w.square() - slope


@functools.cache
def _debye_slopes() -> tuple[list[list[float]], list[list[int]]]:
    """Coefficients of p·D_k′(p) and the powers k + 2j of p that they belong to, both [k − 1][j].

    The logarithm of DLMF 10.41.9 turns its recurrence into that of the slopes E_k = D_k′: E_1 = (1 − 5p²)/8 and
    E_{k+1} = ½p²(1 − p²)·(E_k′ + Σ_{i+j=k} E_i·E_j) + (p − 2p³)·E_k. In float64 they are exact.
    """
    p = Polynomial([0.0, 1.0])
    slopes = [(1 - 5 * p**2) / 8]
    for k in range(1, _TERMS):
        products = sum((slopes[i] * slopes[k - 2 - i] for i in range(k - 1)), Polynomial([0.0]))
        slopes.append(p**2 * (1 - p**2) / 2 * (slopes[-1].deriv() + products) + (p - 2 * p**3) * slopes[-1])
    powers = [[k + 2 * j for j in range(_TERMS + 1)] for k in range(1, _TERMS + 1)]
    coefficients = [
        [float(slope.coef[power - 1]) if power <= len(slope.coef) else 0.0 for power in row]
        for slope, row in zip(slopes, powers, strict=True)
    ]
    return coefficients, powers
