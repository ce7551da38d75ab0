"""The B×C product of a head of binary classification, reduced to three numbers per sample.

Every class is a decision of its own: is the sample of this class or not? Of its negatives a sample keeps

    n = Σ_{j≠y} log(1 + exp(scale·g(c_j) + offset)),      g(c) = 2·((c + 1)/2)^t − 1

(see `BinaryNegatives`), beside its target cosine and its hardest negative. Written as in softmax_terms.py and
chunked.py, with which it shares chunks, sub-centres and shards.

Shapes: B samples, C classes, D feature values, K classes of one chunk, R its centres (see class_chunks.py).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.errors import ConfigError
from facemargin.full_precision import Function, Once, product, without_autocast
from facemargin.heads.choice import automatic_backward, automatic_implementation
from facemargin.heads.chunked import add_gradients_of_targets, own_targets, sizes_of_chunks
from facemargin.heads.class_chunks import Kept, Scratch, absent, chunks_of_classes, fill, target_places
from facemargin.heads.largest import largest_with_index
from facemargin.heads.normalization import nonzero, row_norms, unit_rows
from facemargin.heads.rounded_products import Backward, type_of_products
from facemargin.heads.sub_centers import center_rows, largest_of_class, num_sub_centers
from facemargin.margins.base import BinaryNegatives, BinaryTerms
from facemargin.transfer import on_device

NO_TRITON = "triton has no kernels for binary classification"


def binary_shard_terms(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    negatives: BinaryNegatives,
    implementation: str,
    backward: Backward = "float32",
    hardest_class: bool = False,
) -> BinaryTerms:
    """As `shard_terms`, with another reduction over the negatives. Gradients flow into `x_BD`, `w_CD`, `scale_B` and
    the offset. Without negatives the sum is 0."""
    if implementation == "auto":
        implementation = automatic_implementation(x_BD, w_CD, scale_B, None, backward, hardest_class, NO_TRITON)
        backward = automatic_backward(implementation, backward, x_BD)
    if implementation == "eager":
        return binary_terms_eager(x_BD, w_CD, y_B, scale_B, negatives, hardest_class)
    if implementation == "triton":
        raise ConfigError(f'{NO_TRITON}: use implementation "auto", "chunked" or "eager"')
    differentiated = (x_BD, w_CD, scale_B, negatives.offset_B)
    sizes = sizes_of_chunks(x_BD, w_CD, differentiated, bounded=implementation == "recomputed")
    return binary_terms_chunked(x_BD, w_CD, y_B, scale_B, negatives, *sizes, hardest_class, backward)


def binary_terms_eager(
    x_BD: Tensor, w_CD: Tensor, y_B: Tensor, scale_B: Tensor, negatives: BinaryNegatives, hardest_class: bool = False
) -> BinaryTerms:
    """The terms as they are defined, with whole B×C matrices."""
    y_B = on_device(y_B, None, x_BD.device)
    x_BD, w_CD, scale_B, offset_B = (Once.apply(values) for values in (x_BD, w_CD, scale_B, negatives.offset_B))
    cosine_BC = largest_of_class(product(x_BD, unit_rows(center_rows(w_CD))), w_CD)
    is_target_BC = y_B[:, None] == torch.arange(w_CD.shape[0], device=y_B.device)
    target_cosine_B = cosine_BC.masked_fill(~is_target_BC, 0).sum(1)
    negative_BC = cosine_BC.detach().masked_fill(is_target_BC, -torch.inf)
    if w_CD.shape[0] == 0:
        hardest_B, class_B = torch.full_like(target_cosine_B, -torch.inf), torch.full_like(y_B, -1)
    else:
        hardest_B, class_B = largest_with_index(negative_BC, 1)
        class_B = class_B.masked_fill(~hardest_B.isfinite(), -1)
    logit_BC = scale_B[:, None] * negatives.adjusted(cosine_BC) + offset_B[:, None]
    losses_BC = torch.logaddexp(logit_BC, torch.zeros_like(logit_BC)).masked_fill(is_target_BC, 0)
    return BinaryTerms(target_cosine_B, losses_BC.sum(1), hardest_B.detach(), class_B if hardest_class else None)


def binary_terms_chunked(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    negatives: BinaryNegatives,
    chunk_classes: int,
    kept_bytes: int,
    hardest_class: bool = False,
    backward: Backward = "float32",
) -> BinaryTerms:
    """As `binary_terms_eager`, for one chunk of classes after another (see `softmax_terms_chunked`)."""
    type_of_products(backward, x_BD)
    offset_B, *powers = negatives
    how = (tuple(powers), chunk_classes, kept_bytes, hardest_class, backward)
    return BinaryTerms(*_Chunked.apply(x_BD, w_CD, y_B, scale_B, offset_B, *how))


class _Chunked(Function):
    @staticmethod
    @without_autocast
    def forward(
        ctx: Any,
        x_BD: Tensor,
        w_CD: Tensor,
        y_B: Tensor,
        scale_B: Tensor,
        offset_B: Tensor,
        how: tuple[float, bool],
        chunk_classes: int,
        kept_bytes: int,
        hardest_class: bool,
        backward: Backward,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        negatives = BinaryNegatives(offset_B, *how)
        kept = Kept.empty(kept_bytes, chunk_classes, x_BD, w_CD)
        inverse_norms = nonzero(row_norms(center_rows(w_CD))).reciprocal_()
        targets = target_places(y_B, len(w_CD), chunk_classes, x_BD.device)
        scratch = Scratch(x_BD, min(chunk_classes, len(w_CD)))
        zero = x_BD.new_zeros(())
        sum_B = torch.zeros_like(scale_B)
        hardest_B, class_B = torch.full_like(sum_B, -torch.inf), torch.full_like(sum_B, -1, dtype=torch.int64)
        for number, chunk in enumerate(chunks_of_classes(w_CD, inverse_norms, kept, targets, chunk_classes)):
            cosine_KB = chunk.cosines(x_BD, scratch)
            largest_B, row_B = largest_with_index(cosine_KB, 0)
            torch.where(largest_B > hardest_B, row_B + number * chunk_classes, class_B, out=class_B)
            torch.maximum(hardest_B, largest_B, out=hardest_B)
            logit_KB = scratch.take("logit", chunk.classes)
            torch.addcmul(offset_B, negatives.adjusted(cosine_KB), scale_B, out=logit_KB)
            torch.logaddexp(logit_KB, zero, out=logit_KB)
            sum_B += fill(logit_KB, chunk.targets_T, 0).sum(0)
        hardest_B.masked_fill_(hardest_B == absent(hardest_B), -torch.inf)
        class_B.masked_fill_(~hardest_B.isfinite(), -1)
        target_cosine_B, ctx.own = own_targets(x_BD, w_CD, on_device(y_B, None, x_BD.device), inverse_norms)
        ctx.save_for_backward(x_BD, w_CD, scale_B, offset_B, inverse_norms, target_cosine_B)
        ctx.kept, ctx.targets, ctx.how, ctx.chunk_classes, ctx.backward = kept, targets, how, chunk_classes, backward
        ctx.mark_non_differentiable(hardest_B, class_B)
        return target_cosine_B, sum_B, hardest_B, class_B if hardest_class else None

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad_target_B: Tensor, grad_sum_B: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, scale_B, offset_B, inverse_norms, target_cosine_B = ctx.saved_tensors
        negatives = BinaryNegatives(offset_B, *ctx.how)
        scratch = Scratch(x_BD, min(ctx.chunk_classes, len(w_CD)))
        factor_B = grad_sum_B * scale_B
        weighted_x_BD = (factor_B[:, None] * x_BD).to(type_of_products(ctx.backward, x_BD))
        grad_x_BD, grad_scale_B, grad_offset_B = (torch.zeros_like(values) for values in (x_BD, scale_B, offset_B))
        grad_w_CD = torch.zeros_like(w_CD)
        grad_centers = center_rows(grad_w_CD)
        chunks = chunks_of_classes(w_CD, inverse_norms, ctx.kept, ctx.targets, ctx.chunk_classes)
        for chunk, grad_w_RD in zip(
            chunks, grad_centers.split(ctx.chunk_classes * num_sub_centers(w_CD)), strict=False
        ):
            cosine_KB = chunk.cosines(x_BD, scratch) if chunk.kept_KB is None else chunk.kept_KB
            adjusted_KB = negatives.adjusted(cosine_KB)
            share_KB = scratch.take("share", chunk.classes)
            torch.addcmul(offset_B, adjusted_KB, scale_B, out=share_KB).sigmoid_()
            fill(share_KB, chunk.targets_T, 0)
            grad_offset_B.add_(share_KB.sum(0))
            grad_scale_B.add_((share_KB * adjusted_KB).sum(0))
            share_KB.mul_(negatives.slope(cosine_KB))
            product_KB = torch.mul(share_KB, cosine_KB, out=scratch.take("product", chunk.classes))
            grad_x = grad_x_BD if ctx.needs_input_grad[0] else None
            chunk.gradients(share_KB, product_KB, factor_B, weighted_x_BD, scratch, grad_x, grad_w_RD)
        grad_x_BD.mul_(factor_B[:, None])
        if ctx.own is not None:
            slopes = (ctx.own, target_cosine_B, grad_target_B)
            add_gradients_of_targets(x_BD, w_CD, inverse_norms, *slopes, grad_x_BD, grad_centers)
        grad_scale_B, grad_offset_B = grad_sum_B * grad_scale_B, grad_sum_B * grad_offset_B
        return grad_x_BD, grad_w_CD, None, grad_scale_B, grad_offset_B, None, None, None, None, None
