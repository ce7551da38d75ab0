"""The largest value along a dimension, and where it is."""

import torch
from torch import Tensor

_BLOCK = 32


def largest_with_index(values: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """`values.max(dim)` of a matrix: of equal values the first one's index, and NaN counts as the largest.

    On a CPU torch finds a maximum ten times as fast as a maximum with its index, which would cost a head as much as its
    exponentials. So the largest of every block of 32 is found first, and then the place in the one block that holds the
    largest of all. The values are the same to the bit.
    """
    size = values.shape[dim]
    whole = size // _BLOCK * _BLOCK
    if values.device.type == "cuda" or whole == 0:
        largest, index = values.max(dim)
        return largest, index
    peaks = values.narrow(dim, 0, whole).unflatten(dim, (whole // _BLOCK, _BLOCK)).amax(dim + 1)
    if whole < size:
        rest = values.narrow(dim, whole, size - whole).amax(dim, keepdim=True)
        peaks = torch.cat([peaks, rest], dim)
    largest, block = peaks.max(dim)
    places = block.unsqueeze(dim) * _BLOCK + torch.arange(_BLOCK, device=values.device).unsqueeze(1 - dim)
    places.clamp_(max=size - 1)  # of a last block that is not whole
    within = values.gather(dim, places).argmax(dim, keepdim=True)
    return largest, places.gather(dim, within).squeeze(dim)
