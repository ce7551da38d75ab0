"""Unit rows, with a gradient that stays finite for a row of zeros. Shapes: N rows, D values, K blocks of a row."""

import math

import torch
from torch import Tensor


def row_norms(rows_ND: Tensor) -> Tensor:
    """Euclidean norm of every row, (N,)."""
    norm_N: Tensor = torch.linalg.vector_norm(rows_ND, dim=1)
    return norm_N


def nonzero(norm_N: Tensor) -> Tensor:
    """The norms with 0 replaced by 1, for division: a row of zeros then stays zero and passes a finite gradient."""
    return torch.where(norm_N > 0, norm_N, torch.ones_like(norm_N))


def unit_rows(rows_ND: Tensor) -> Tensor:
    """Rows divided by their norms, (N, D); a row of zeros stays zero."""
    return rows_ND / nonzero(row_norms(rows_ND))[:, None]


def unit_blocks(rows_ND: Tensor, blocks: int) -> Tensor:
    """Rows whose K = `blocks` equal parts all have the norm 1/√K, so that a row is of unit length; parts of zeros stay
    zero. With one block, the rows as they are."""
    if blocks == 1:
        return rows_ND
    part_NKD = rows_ND.unflatten(-1, (blocks, -1))
    norm_NK = nonzero(torch.linalg.vector_norm(part_NKD, dim=-1)) * math.sqrt(blocks)
    unit_ND: Tensor = (part_NKD / norm_NK[..., None]).flatten(-2)
    return unit_ND
