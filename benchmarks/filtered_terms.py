"""A head's terms whose backward pass leaves out negatives of negligible softmax weight; see gradient_filtering.py.

Shapes: B samples, C classes, D feature values, K kept classes, P kept pairs.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from facemargin.heads import chunked
from facemargin.margins.base import HardNegatives, SoftmaxTerms

_BLOCK = 2**12  # classes gone through at a time
_BLOCK_IN_CACHE = 2**10
_KEPT_BYTES = 2**31  # of cosines, from forward to backward: all


@dataclass
class Filter:
    """Which negatives the backward passes leave out; `omitted_B`, the sum of the softmax weights that the last one
    left out, by sample."""

    threshold: float = 0.0
    by: str = "classes"
    omitted_B: Tensor = field(default_factory=lambda: torch.empty(0))


FILTER = Filter()


class FilteredTerms(chunked._Chunked):
    """The chunked head's terms with a backward pass that follows FILTER; for margins without hard negatives, and with
    the loss a mean over the batch."""

    @staticmethod
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, y_B, scale_B, inverse_norm_C, negative_lse_B, target_cosine_B = ctx.saved_tensors
        # d loss/d LSE of a sample is its negatives' softmax weight together, of which each has exp(s·c − LSE)
        weight_B = grad_lse_B * len(x_BD)
        shift_B = weight_B.log() - negative_lse_B
        least_cosine_B = (math.log(FILTER.threshold or 1e-38) - shift_B) / scale_B
        grad_w_CD = ctx.gradient_buffer.empty(tuple(w_CD.shape), w_CD)
        by = _by_classes if FILTER.by == "classes" else _by_pairs
        inputs = (x_BD, w_CD, ctx.kept_CB, least_cosine_B, scale_B, shift_B, inverse_norm_C)
        grad_x_BD, kept_B = by(*inputs, grad_w_CD)
        FILTER.omitted_B = weight_B - kept_B
        inverse_norm_B, w_BD = inverse_norm_C[y_B], w_CD[y_B]
        slope_B1 = (grad_target_B * inverse_norm_B)[:, None]
        grad_x_BD.addcmul_(slope_B1, w_BD)
        across_BD = torch.addcmul(x_BD, (target_cosine_B * inverse_norm_B)[:, None], w_BD, value=-1)
        grad_w_CD.index_put_((y_B,), slope_B1 * across_BD, accumulate=True)
        return grad_x_BD, grad_w_CD, None, None, None, None, None


def _by_classes(
    x_BD: Tensor,
    w_CD: Tensor,
    cosine_CB: Tensor,
    least_cosine_B: Tensor,
    scale_B: Tensor,
    shift_B: Tensor,
    inverse_norm_C: Tensor,
    grad_w_CD: Tensor,
) -> tuple[Tensor, Tensor]:
    """The negatives' part of the gradients, of the features as returned, and the kept softmax weight (B,): of the
    classes that pass the threshold of some sample."""
    scratch_KB, above_C = torch.empty_like(cosine_CB[:_BLOCK_IN_CACHE]), torch.empty_like(inverse_norm_C)
    for part_KB, above_K in zip(cosine_CB.split(_BLOCK_IN_CACHE), above_C.split(_BLOCK_IN_CACHE), strict=True):
        torch.amax(torch.sub(part_KB, least_cosine_B, out=scratch_KB[: len(part_KB)]), 1, out=above_K)
    kept_K = (above_C > 0).nonzero().squeeze(1)
    grad_x_BD, kept_B = torch.zeros_like(x_BD), torch.zeros_like(scale_B)
    grad_w_CD.zero_()
    for rows_K in kept_K.split(_BLOCK):
        w_KD, cosine_KB = w_CD.index_select(0, rows_K), cosine_CB.index_select(0, rows_K)
        inverse_norm_K1 = inverse_norm_C[rows_K, None]
        gradient_KB = torch.addcmul(shift_B, cosine_KB, scale_B).exp_()
        kept_B += gradient_KB.sum(0)
        gradient_KB *= scale_B / len(x_BD)
        radial_K1 = (gradient_KB * cosine_KB).sum(1, keepdim=True) * -inverse_norm_K1.square()
        gradient_KB *= inverse_norm_K1
        grad_x_BD.addmm_(gradient_KB.T, w_KD)
        grad_w_CD.index_copy_(0, rows_K, torch.addmm(w_KD.mul_(radial_K1), gradient_KB, x_BD))
    return grad_x_BD, kept_B


def _by_pairs(
    x_BD: Tensor,
    w_CD: Tensor,
    cosine_CB: Tensor,
    least_cosine_B: Tensor,
    scale_B: Tensor,
    shift_B: Tensor,
    inverse_norm_C: Tensor,
    grad_w_CD: Tensor,
) -> tuple[Tensor, Tensor]:
    """As `_by_classes`, of the pairs that pass the threshold."""
    c, b = cosine_CB.shape
    place_P = _places_above(cosine_CB, least_cosine_B)
    class_P, sample_P = place_P // b, place_P % b
    cosine_P = cosine_CB.view(-1)[place_P]
    gradient_P = torch.addcmul(shift_B[sample_P], cosine_P, scale_B[sample_P]).exp_()
    kept_B = torch.zeros_like(scale_B).index_add_(0, sample_P, gradient_P)
    gradient_P *= scale_B[sample_P] / b
    radial_C = torch.zeros_like(inverse_norm_C).index_add_(0, class_P, gradient_P * cosine_P)
    radial_C *= -inverse_norm_C.square()
    gradient_P *= inverse_norm_C[class_P]
    torch.mul(w_CD, radial_C[:, None], out=grad_w_CD)
    grad_w_CD.addmm_(_sparse(class_P, sample_P, gradient_P, (c, b)), x_BD)
    order_P = sample_P.argsort(stable=True)
    grad_x_BD = torch.mm(_sparse(sample_P[order_P], class_P[order_P], gradient_P[order_P], (b, c)), w_CD)
    return grad_x_BD, kept_B


def _places_above(cosine_CB: Tensor, least_cosine_B: Tensor) -> Tensor:
    """Where, in the flattened cosines, those above the sample's threshold are, in order; B is even.

    Two float32 are looked at as one integer: `gt` and `nonzero` of single cosines take three times as long.
    """
    b = len(least_cosine_B)
    scratch_KB = torch.empty_like(cosine_CB[:_BLOCK_IN_CACHE])
    found = []
    for first in range(0, len(cosine_CB), _BLOCK_IN_CACHE):
        part_KB = cosine_CB[first : first + _BLOCK_IN_CACHE]
        above_KB = torch.sub(part_KB, least_cosine_B, out=scratch_KB[: len(part_KB)]).clamp_min_(0)
        two_P = above_KB.view(-1).view(torch.int64).nonzero() * 2
        both_P = torch.cat([two_P, two_P + 1], 1).view(-1)
        found.append(both_P[above_KB.view(-1)[both_P] > 0] + first * b)
    return torch.cat(found)


def _sparse(row_P: Tensor, column_P: Tensor, value_P: Tensor, shape: tuple[int, int]) -> Tensor:
    """A compressed sparse matrix of pairs that lie in order of their rows."""
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), torch.bincount(row_P, minlength=shape[0]).cumsum(0)])
    return torch.sparse_csr_tensor(starts.int(), column_P.int(), value_P, shape, check_invariants=False)


def filtered_terms(
    x_BD: Tensor, w_CD: Tensor, y_B: Tensor, scale_B: Tensor, hard_negatives: HardNegatives | None
) -> SoftmaxTerms:
    """`softmax_terms` with the backward pass of FILTER."""
    classes = max(256, 2**19 // len(x_BD) // 64 * 64)
    return SoftmaxTerms(*FilteredTerms.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, classes, _KEPT_BYTES))
