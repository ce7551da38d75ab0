"""Noise that a device generates itself, from one seed per sample and the position in the image.

SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) read as a counter-based
generator: number n of a seed is a hash of seed + n·γ. It uses integer operations, and a table for the normal
distribution, so that it has the same bits on every device and in every batch. The pixels of the noise are several times
as large as an image. If workers drew them, they would take more time than all other draws and would be sent with every
batch.

Shapes: G samples, N values a sample, n of one call's 64-bit numbers.
"""

from functools import lru_cache

import torch
from torch import Tensor

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_QUANTILES = 2**16


def random_bits(seeds_G: Tensor, count: int) -> Tensor:
    """Numbers 1 to `count` of SplitMix64 for every seed: (G, count) int64, whose 64 bits are random."""
    counter_n = torch.arange(1, count + 1, device=seeds_G.device)
    z_Gn = seeds_G[:, None] + counter_n * _signed(_GAMMA)
    z_Gn = (z_Gn ^ _shifted_right(z_Gn, 30)) * _signed(_FIRST)
    z_Gn = (z_Gn ^ _shifted_right(z_Gn, 27)) * _signed(_SECOND)
    return z_Gn ^ _shifted_right(z_Gn, 31)


def uniform_gray(seeds_G: Tensor, count: int) -> Tensor:
    """(G, count) uint8, uniform over the grey values. Each number gives eight values."""
    return random_bits(seeds_G, -(-count // 8)).view(torch.uint8)[:, :count]


def standard_normal(seeds_G: Tensor, count: int) -> Tensor:
    """(G, count) float32, standard normal up to ±4.3, from 65,536 quantiles. Each number gives four values."""
    sixteen_bits_GN = random_bits(seeds_G, -(-count // 4)).view(torch.int16)[:, :count]
    return _normal_quantiles(seeds_G.device)[sixteen_bits_GN.long() & (_QUANTILES - 1)]


@lru_cache(maxsize=8)
def _normal_quantiles(device: torch.device) -> Tensor:
    """Φ⁻¹((k + ½) / 65,536) for every k, computed on the host in float64, because devices differ in the last bits of
    Φ⁻¹."""
    middles = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
    quantiles: Tensor = torch.special.ndtri(middles).float().to(device)
    return quantiles


def _shifted_right(z: Tensor, bits: int) -> Tensor:
    """A right shift that fills with zeros, while int64's own shift fills with the sign."""
    shifted: Tensor = (z >> bits) & (2 ** (64 - bits) - 1)
    return shifted


def _signed(constant: int) -> int:
    """The int64 with the bits of an unsigned 64-bit constant; products wrap around in the same way."""
    return constant - 2**64 if constant >= 2**63 else constant
