"""`softmax_terms` in memory bounded by a chunk of classes: B×C is computed twice and never kept.

Shapes: B samples, C classes, D feature values, K classes of one chunk.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.heads.normalisation import nonzero, row_norms
from facemargin.margins.base import HardNegatives, SoftmaxTerms

# Cosines held at a time (16 MB in float32): large enough for the matrix product, small enough for a last-level cache.
_CHUNK_COSINES = 2**22


def softmax_terms_chunked(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    chunk_classes: int | None = None,
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, class chunk by class chunk; gradients are derived by hand and recompute the cosines.

    `chunk_classes` defaults to what keeps a chunk at 16 MB.
    """
    chunk_classes = chunk_classes or max(256, _CHUNK_COSINES // max(len(x_BD), 1))
    return SoftmaxTerms(*_Chunked.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, chunk_classes))


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x_BD: Tensor,
        w_CD: Tensor,
        y_B: Tensor,
        scale_B: Tensor,
        hard_negatives: HardNegatives | None,
        chunk_classes: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inverse_norm_C = 1 / nonzero(row_norms(w_CD))
        target_cosine_B = (x_BD * w_CD[y_B]).sum(1) * inverse_norm_C[y_B]
        hardest_B = torch.full_like(target_cosine_B, -torch.inf)
        largest_B = torch.full_like(target_cosine_B, -torch.inf)  # running maximum of the logits
        sum_B = torch.zeros_like(target_cosine_B)  # Σ exp(logit − largest)
        for first, cosine_BK in _cosine_chunks(x_BD, w_CD, inverse_norm_C, chunk_classes):
            rows, columns = _targets_in(y_B, first, cosine_BK.shape[1])
            cosine_BK[rows, columns] = -torch.inf
            chunk_hardest_B = cosine_BK.amax(1)
            torch.maximum(hardest_B, chunk_hardest_B, out=hardest_B)
            if hard_negatives is not None:
                threshold_B, alpha, beta, gamma = hard_negatives
                # The target's −inf is above no threshold but −inf itself, so it is put back afterwards.
                replaced_BK = (alpha * cosine_BK + beta) * cosine_BK + gamma
                cosine_BK = torch.where(cosine_BK > threshold_B[:, None], replaced_BK, cosine_BK)
                cosine_BK[rows, columns] = -torch.inf
                chunk_hardest_B = cosine_BK.amax(1)
            # The largest cosine is the largest logit as no scale is negative; −inf·0 would be NaN.
            peak_B = torch.where(chunk_hardest_B.isfinite(), chunk_hardest_B, 0)
            exponential_BK = cosine_BK.sub_(peak_B[:, None]).mul_(scale_B[:, None])
            exponential_BK[rows, columns] = -torch.inf
            chunk_sum_B = exponential_BK.exp_().sum(1)
            peak_logit_B = peak_B * scale_B
            grown_B = torch.where(chunk_sum_B > 0, torch.maximum(largest_B, peak_logit_B), largest_B)
            shift_B = torch.where(grown_B.isfinite(), grown_B, 0)
            sum_B = sum_B * (largest_B - shift_B).exp() + chunk_sum_B * (peak_logit_B - shift_B).exp()
            largest_B = grown_B
        negative_lse_B = largest_B + sum_B.log()
        ctx.save_for_backward(x_BD, w_CD, y_B, scale_B, inverse_norm_C, negative_lse_B)
        ctx.hard_negatives, ctx.chunk_classes = hard_negatives, chunk_classes
        ctx.mark_non_differentiable(hardest_B)
        return target_cosine_B, negative_lse_B, hardest_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, y_B, scale_B, inverse_norm_C, negative_lse_B = ctx.saved_tensors
        # Without negatives the log-sum-exp is −inf and every probability is zero.
        shift_B = torch.where(negative_lse_B.isfinite(), negative_lse_B, torch.inf)
        grad_x_BD, grad_w_CD = torch.zeros_like(x_BD), torch.empty_like(w_CD)
        grad_scale_B = torch.zeros_like(scale_B)
        for first, cosine_BK in _cosine_chunks(x_BD, w_CD, inverse_norm_C, ctx.chunk_classes):
            rows, columns = _targets_in(y_B, first, cosine_BK.shape[1])
            slope_BK: Tensor | None = None
            replaced_BK = cosine_BK
            if ctx.hard_negatives is not None:
                threshold_B, alpha, beta, gamma = ctx.hard_negatives
                above_BK = cosine_BK > threshold_B[:, None]
                replaced_BK = torch.where(above_BK, (alpha * cosine_BK + beta) * cosine_BK + gamma, cosine_BK)
                slope_BK = torch.where(above_BK, 2 * alpha * cosine_BK + beta, 1.0)
            probability_BK = (replaced_BK * scale_B[:, None]).sub_(shift_B[:, None]).exp_()
            probability_BK[rows, columns] = 0
            if ctx.needs_input_grad[3]:
                grad_scale_B += grad_lse_B * torch.einsum("bk,bk->b", probability_BK, replaced_BK)
            grad_cosine_BK = probability_BK.mul_((grad_lse_B * scale_B)[:, None])
            if slope_BK is not None:
                grad_cosine_BK.mul_(slope_BK)
            grad_cosine_BK[rows, columns] = grad_target_B[rows]
            # d cos/dw of a normalised centre: what is along the centre does not change its direction.
            w_KD, inverse_norm_K = _chunk(w_CD, first, cosine_BK), _chunk(inverse_norm_C, first, cosine_BK)
            radial_K = torch.einsum("bk,bk->k", grad_cosine_BK, cosine_BK) * inverse_norm_K.square()
            grad_cosine_BK.mul_(inverse_norm_K)
            grad_x_BD.addmm_(grad_cosine_BK, w_KD)
            grad_w_KD = _chunk(grad_w_CD, first, cosine_BK)
            torch.mul(w_KD, -radial_K[:, None], out=grad_w_KD)
            grad_w_KD.addmm_(grad_cosine_BK.T, x_BD)
        return grad_x_BD, grad_w_CD, None, grad_scale_B, None, None


def _cosine_chunks(
    x_BD: Tensor, w_CD: Tensor, inverse_norm_C: Tensor, chunk_classes: int
) -> Iterator[tuple[int, Tensor]]:
    """(first class, cosine_BK) of each chunk of classes; the yielded tensor is the caller's to overwrite."""
    for first in range(0, len(w_CD), chunk_classes):
        last = first + chunk_classes
        yield first, (x_BD @ w_CD[first:last].T).mul_(inverse_norm_C[first:last])


def _targets_in(y_B: Tensor, first: int, chunk_classes: int) -> tuple[Tensor, Tensor]:
    """Rows whose target class lies in the chunk, and its column there."""
    rows = torch.nonzero((y_B >= first) & (y_B < first + chunk_classes)).squeeze(1)
    return rows, y_B[rows] - first


def _chunk(values: Tensor, first: int, cosine_BK: Tensor) -> Tensor:
    """The rows of a per-class tensor that belong to a chunk."""
    return values[first : first + cosine_BK.shape[1]]
