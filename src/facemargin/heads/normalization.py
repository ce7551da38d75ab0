"""Unit rows, with a gradient that stays finite for a row of zeros. Shapes: N rows, D values."""

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
