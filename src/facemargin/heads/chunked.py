"""`softmax_terms` computed for one chunk of classes after another, with gradients derived by hand.

Shapes: B samples, C classes, D feature values, K classes of one chunk, R its centres (see class_chunks.py).
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.full_precision import Function, without_autocast
from facemargin.heads.buffers import reused_buffer
from facemargin.heads.class_chunks import Kept, Scratch, absent, chunks_of_classes, fill, target_places
from facemargin.heads.largest import largest_with_index
from facemargin.heads.normalization import nonzero, row_norms
from facemargin.heads.rounded_products import Backward, type_of_products
from facemargin.heads.sub_centers import center_rows, nearest_rows, num_sub_centers
from facemargin.margins.base import HardNegatives, SoftmaxTerms
from facemargin.transfer import on_device

# Number of cosines in one chunk. On the CPU they take 2 MB in float32 and so stay in the cache. On CUDA they take 256
# MB, because a chunk of any size costs about twenty kernel launches.
_CHUNK_COSINES = {"cpu": 2**19, "cuda": 2**26}
# How many bytes of cosines are kept from forward to backward.
_KEPT_BYTES = {"cpu": 2**30, "cuda": 2**32}
_KEPT_BYTES_BOUNDED = 2**25


def softmax_terms_chunked(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    chunk_classes: int | None = None,
    kept_bytes: int | None = None,
    hardest_class: bool = False,
    backward: Backward = "float32",
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, with three matrix products: backward uses the cosines that forward has kept.

    The first chunks, as many as fit into `kept_bytes` (1 GB by default, 4 GB on CUDA), are kept. The cosines of the
    others are computed again in the same way, so that the gradients are the same to the bit for any `kept_bytes`.
    `chunk_classes` changes the rounding; by default a chunk holds 2 MB of float32 cosines (256 MB on CUDA).

    `backward`: "bf16" rounds the factors of backward's two products to 8 significant bits, each by up to 2⁻⁹ of its
    value. Sums are float32; the CPU rounds those over all samples (∂W) and over a chunk's classes (∂x) once more. The
    terms are those of "float32". Raises ConfigError where the device has no instructions for such products, which
    then take longer, and for float64.
    """
    type_of_products(backward, x_BD)
    differentiated = (x_BD, w_CD, scale_B)
    how = (*sizes_of_chunks(x_BD, w_CD, differentiated, chunk_classes, kept_bytes), hardest_class, backward)
    return SoftmaxTerms(*_Chunked.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, *how))


def softmax_terms_recomputed(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    hardest_class: bool = False,
    backward: Backward = "float32",
) -> SoftmaxTerms:
    """The same result as `softmax_terms_chunked`, to the bit, but keeps at most 32 MB of cosines for any number of
    classes."""
    how = (None, _KEPT_BYTES_BOUNDED, hardest_class, backward)
    return softmax_terms_chunked(x_BD, w_CD, y_B, scale_B, hard_negatives, *how)


def sizes_of_chunks(
    x_BD: Tensor,
    w_CD: Tensor,
    differentiated: Iterable[Tensor],
    chunk_classes: int | None = None,
    kept_bytes: int | None = None,
    bounded: bool = False,
) -> tuple[int, int]:
    """The given sizes, or the default ones: how many classes a chunk has, and how many bytes of cosines are kept, none
    where nothing of `differentiated` has a gradient. `bounded`: those of "recomputed"."""
    device = x_BD.device.type
    if chunk_classes is None:
        fitting = _CHUNK_COSINES.get(device, _CHUNK_COSINES["cuda"]) // max(len(x_BD), 1) // num_sub_centers(w_CD)
        chunk_classes = max(256, fitting // 64 * 64)
    if kept_bytes is None:
        kept_bytes = _KEPT_BYTES_BOUNDED if bounded else _KEPT_BYTES.get(device, _KEPT_BYTES["cuda"])
    if not (torch.is_grad_enabled() and any(values.requires_grad for values in differentiated)):
        kept_bytes = 0
    return chunk_classes, kept_bytes


class _Chunked(Function):
    @staticmethod
    @without_autocast
    def forward(
        ctx: Any,
        x_BD: Tensor,
        w_CD: Tensor,
        y_B: Tensor,
        scale_B: Tensor,
        hard_negatives: HardNegatives | None,
        chunk_classes: int,
        kept_bytes: int,
        hardest_class: bool,
        backward: Backward,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        kept = Kept.empty(kept_bytes, chunk_classes, x_BD, w_CD)
        inverse_norms = nonzero(row_norms(center_rows(w_CD))).reciprocal_()
        targets = target_places(y_B, len(w_CD), chunk_classes, x_BD.device)
        y_B = on_device(y_B, None, x_BD.device)
        scratch = Scratch(x_BD, min(chunk_classes, len(w_CD)))
        # N chunks. Without classes there is still one row, whose values mean "no negatives".
        hardest_NB = x_BD.new_full((max(len(targets), 1), len(x_BD)), absent(x_BD))
        # The maximum of the values that the scale multiplies.
        peak_NB = hardest_NB if hard_negatives is None else hardest_NB.clone()
        sum_NB = torch.zeros_like(hardest_NB)  # Σ exp(scale·(c − peak)) over a chunk
        class_NB = torch.full_like(hardest_NB, -1, dtype=torch.int64) if hardest_class else None
        minus_scale_B = -scale_B
        chunks = chunks_of_classes(w_CD, inverse_norms, kept, targets, chunk_classes)
        for number, (chunk, hardest_B, peak_B, sum_B) in enumerate(
            zip(chunks, hardest_NB, peak_NB, sum_NB, strict=False)
        ):
            cosine_KB = chunk.cosines(x_BD, scratch)
            if class_NB is None:
                torch.amax(cosine_KB, 0, out=hardest_B)
            else:
                values_B, row_B = largest_with_index(cosine_KB, 0)
                hardest_B.copy_(values_B)
                torch.add(row_B, number * chunk_classes, out=class_NB[number])
            if hard_negatives is not None:
                cosine_KB = _replaced(cosine_KB, hard_negatives, chunk.targets_T, scratch)
                torch.amax(cosine_KB, 0, out=peak_B)
            exponential_KB = scratch.take("exponential", len(cosine_KB))
            torch.addcmul(minus_scale_B * peak_B, cosine_KB, scale_B, out=exponential_KB).exp_()
            torch.sum(fill(exponential_KB, chunk.targets_T, 0), 0, out=sum_B)
        negative_lse_B = (scale_B * peak_NB + sum_NB.log()).logsumexp(0)
        hardest_B, class_B = _hardest(hardest_NB, class_NB)
        target_cosine_B, ctx.own = own_targets(x_BD, w_CD, y_B, inverse_norms)
        ctx.save_for_backward(x_BD, w_CD, scale_B, inverse_norms, negative_lse_B, target_cosine_B)
        ctx.kept, ctx.targets, ctx.hard_negatives = kept, targets, hard_negatives
        ctx.gradient_buffer, ctx.chunk_classes = reused_buffer(w_CD, "gradient"), chunk_classes
        ctx.backward = backward
        ctx.mark_non_differentiable(hardest_B, *([] if class_B is None else [class_B]))
        return target_cosine_B, negative_lse_B, hardest_B, class_B

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, scale_B, inverse_norms, negative_lse_B, target_cosine_B = ctx.saved_tensors
        hard_negatives: HardNegatives | None = ctx.hard_negatives
        scratch = Scratch(x_BD, min(ctx.chunk_classes, len(w_CD)))
        # Every row of the softmax has one factor. It is multiplied into x_BD instead of into all B×C values.
        factor_B = grad_lse_B * scale_B
        weighted_x_BD = (factor_B[:, None] * x_BD).to(type_of_products(ctx.backward, x_BD))
        minus_lse_B = -negative_lse_B
        grad_x_BD, grad_scale_B = torch.zeros_like(x_BD), torch.zeros_like(scale_B)
        grad_x = grad_x_BD if ctx.needs_input_grad[0] else None
        grad_w_CD = ctx.gradient_buffer.empty(tuple(w_CD.shape), w_CD)
        grad_centers = center_rows(grad_w_CD)
        chunks = chunks_of_classes(w_CD, inverse_norms, ctx.kept, ctx.targets, ctx.chunk_classes)
        for chunk, grad_w_RD in zip(
            chunks, grad_centers.split(ctx.chunk_classes * num_sub_centers(w_CD)), strict=False
        ):
            classes = chunk.classes
            cosine_KB = chunk.kept_KB
            if cosine_KB is None:
                cosine_KB = chunk.cosines(x_BD, scratch)
            effective_KB = cosine_KB
            if hard_negatives is not None:
                effective_KB = _replaced(cosine_KB, hard_negatives, chunk.targets_T, scratch)
            probability_KB = scratch.take("exponential", classes)
            torch.addcmul(minus_lse_B, effective_KB, scale_B, out=probability_KB).exp_()
            fill(probability_KB, chunk.targets_T, 0)
            product_KB = torch.mul(probability_KB, effective_KB, out=scratch.take("product", classes))
            if ctx.needs_input_grad[3]:
                grad_scale_B.add_(product_KB.sum(0))
            if hard_negatives is not None:
                _multiply_by_slope(probability_KB, cosine_KB, hard_negatives, chunk.targets_T, scratch)
                torch.mul(probability_KB, cosine_KB, out=product_KB)
            chunk.gradients(probability_KB, product_KB, factor_B, weighted_x_BD, scratch, grad_x, grad_w_RD)
        grad_x_BD.mul_(factor_B[:, None])
        if ctx.own is not None:
            slopes = (ctx.own, target_cosine_B, grad_target_B)
            add_gradients_of_targets(x_BD, w_CD, inverse_norms, *slopes, grad_x_BD, grad_centers)
        return grad_x_BD, grad_w_CD, None, grad_lse_B * grad_scale_B, None, None, None, None, None


def _hardest(hardest_NB: Tensor, class_NB: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The largest of the chunks' largest negatives, −inf where there is none, and its class, −1 where there is none."""
    if class_NB is None:
        hardest_B, class_B = hardest_NB.amax(0), None
    else:
        hardest_B, chunk_B = hardest_NB.max(0)
        class_B = class_NB.gather(0, chunk_B[None]).squeeze(0)
    hardest_B.masked_fill_(hardest_B == absent(hardest_B), -torch.inf)
    return hardest_B, None if class_B is None else class_B.masked_fill_(~hardest_B.isfinite(), -1)


Own: TypeAlias = "tuple[Tensor, Tensor] | None"
"""Whether each sample's class is one of these, and the row of its nearest centre; None without classes."""


def own_targets(x_BD: Tensor, w_CD: Tensor, y_B: Tensor, inverse_norms: Tensor) -> tuple[Tensor, Own]:
    """The target cosines, (B,), 0 for classes of other shards, and where they are from."""
    if not len(w_CD):
        return x_BD.new_zeros(len(x_BD)), None
    local_B, class_B = own_rows(y_B, len(w_CD))
    row_B = nearest_rows(x_BD, w_CD, class_B)
    cosine_B = (x_BD * center_rows(w_CD)[row_B]).sum(1) * inverse_norms[row_B]
    return cosine_B.where(local_B, 0), (local_B, row_B)


def add_gradients_of_targets(
    x_BD: Tensor,
    w_CD: Tensor,
    inverse_norms: Tensor,
    own: tuple[Tensor, Tensor],
    target_cosine_B: Tensor,
    grad_target_B: Tensor,
    grad_x_BD: Tensor,
    grad_centers: Tensor,
) -> None:
    """Add what flows through `own_targets` to the gradients of the features and the centres."""
    local_B, row_B = own
    inverse_norm_B = inverse_norms[row_B]
    slope_B1 = (grad_target_B.where(local_B, 0) * inverse_norm_B)[:, None]
    w_BD = center_rows(w_CD)[row_B]
    grad_x_BD.addcmul_(slope_B1, w_BD)
    across_BD = torch.addcmul(x_BD, (target_cosine_B * inverse_norm_B)[:, None], w_BD, value=-1)
    grad_centers.index_put_((row_B,), slope_B1 * across_BD, accumulate=True)


def own_rows(y_B: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Whether each sample's class is one of these classes, (B,), and its row, (B,); if it is not, any row.

    The samples of other shards, nearly all of a large group's, take different rows, because CUDA adds what goes to one
    row one after the other.
    """
    local_B = (y_B >= 0) & (y_B < num_classes)
    return local_B, y_B.where(local_B, torch.arange(len(y_B), device=y_B.device) % num_classes)


def _replaced(cosine_KB: Tensor, hard_negatives: HardNegatives, targets_T: Tensor, scratch: Scratch) -> Tensor:
    """The cosines after those above the threshold are replaced. The targets are again set to `absent`."""
    threshold_B, alpha, beta, gamma = hard_negatives
    above_KB = torch.gt(cosine_KB, threshold_B, out=scratch.take("above", len(cosine_KB), torch.bool))
    replaced_KB = torch.mul(cosine_KB, alpha, out=scratch.take("replaced", len(cosine_KB)))
    replaced_KB.add_(beta).mul_(cosine_KB).add_(gamma)
    torch.where(above_KB, replaced_KB, cosine_KB, out=replaced_KB)
    return fill(replaced_KB, targets_T, absent(cosine_KB))


def _multiply_by_slope(
    probability_KB: Tensor, cosine_KB: Tensor, hard_negatives: HardNegatives, targets_T: Tensor, scratch: Scratch
) -> None:
    """Multiply by d replaced/d cosine: 2αc + β above the threshold, else 1."""
    above_KB = scratch.take("above", len(cosine_KB), torch.bool)  # as `_replaced` left it
    slope_KB = torch.mul(cosine_KB, 2 * hard_negatives.alpha, out=scratch.take("slope", len(cosine_KB)))
    slope_KB.add_(hard_negatives.beta).masked_fill_(above_KB.logical_not_(), 1)
    # The targets hold the lowest finite number. If even that lies above the threshold, its slope overflows, and 0·∞
    # gives NaN.
    fill(probability_KB.mul_(slope_KB), targets_T, 0)
