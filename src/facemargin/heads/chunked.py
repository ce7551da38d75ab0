"""`softmax_terms` computed for one chunk of classes after another, with gradients derived by hand.

Shapes: B samples, C classes, D feature values, K classes of one chunk. Cosines are stored class by class, so that a
chunk is one block of memory.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.full_precision import Function, without_autocast
from facemargin.heads.buffers import reused_buffer
from facemargin.heads.largest import largest_with_index
from facemargin.heads.normalization import nonzero, row_norms
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
) -> SoftmaxTerms:
    """As `softmax_terms_eager`, with three matrix products: backward uses the cosines that forward has kept.

    The first chunks, as many as fit into `kept_bytes` (1 GB by default, 4 GB on CUDA), are kept. The cosines of the
    others are computed again in the same way, so that the gradients are the same to the bit for any `kept_bytes`.
    `chunk_classes` changes the rounding; by default a chunk holds 2 MB of float32 cosines (256 MB on CUDA).
    """
    device = x_BD.device.type
    if chunk_classes is None:
        fitting = _CHUNK_COSINES.get(device, _CHUNK_COSINES["cuda"]) // max(len(x_BD), 1)
        chunk_classes = max(256, fitting // 64 * 64)
    if kept_bytes is None:
        kept_bytes = _KEPT_BYTES.get(device, _KEPT_BYTES["cuda"])
    if not (torch.is_grad_enabled() and any(values.requires_grad for values in (x_BD, w_CD, scale_B))):
        kept_bytes = 0
    sizes = (chunk_classes, kept_bytes)
    return SoftmaxTerms(*_Chunked.apply(x_BD, w_CD, y_B, scale_B, hard_negatives, *sizes, hardest_class))


def softmax_terms_recomputed(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    hardest_class: bool = False,
) -> SoftmaxTerms:
    """The same result as `softmax_terms_chunked`, to the bit, but keeps at most 32 MB of cosines for any number of
    classes."""
    return softmax_terms_chunked(
        x_BD, w_CD, y_B, scale_B, hard_negatives, kept_bytes=_KEPT_BYTES_BOUNDED, hardest_class=hardest_class
    )


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
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        kept = min(kept_bytes // max(x_BD.element_size() * len(x_BD), 1) // chunk_classes * chunk_classes, len(w_CD))
        kept_CB = reused_buffer(w_CD, "cosines").empty((kept, len(x_BD)), x_BD)
        inverse_norm_C = nonzero(row_norms(w_CD)).reciprocal_()
        targets = _targets(y_B, len(w_CD), chunk_classes, x_BD.device)
        y_B = on_device(y_B, None, x_BD.device)
        scratch = _Scratch(x_BD, min(chunk_classes, len(w_CD)))
        # N chunks. Without classes there is still one row, whose values mean "no negatives".
        hardest_NB = x_BD.new_full((max(len(targets), 1), len(x_BD)), _absent(x_BD))
        # The maximum of the values that the scale multiplies.
        peak_NB = hardest_NB if hard_negatives is None else hardest_NB.clone()
        sum_NB = torch.zeros_like(hardest_NB)  # Σ exp(scale·(c − peak)) over a chunk
        class_NB = torch.full_like(hardest_NB, -1, dtype=torch.int64) if hardest_class else None
        minus_scale_B = -scale_B
        chunks = _chunks(w_CD, inverse_norm_C, kept_CB, targets, chunk_classes)
        for number, (chunk, hardest_B, peak_B, sum_B) in enumerate(
            zip(chunks, hardest_NB, peak_NB, sum_NB, strict=False)
        ):
            cosine_KB = chunk.kept_KB if chunk.kept_KB is not None else scratch.take("cosine", len(chunk.w_KD))
            chunk.cosines(x_BD, out_KB=cosine_KB)
            if class_NB is None:
                torch.amax(cosine_KB, 0, out=hardest_B)
            else:
                values_B, row_B = largest_with_index(cosine_KB, 0)
                hardest_B.copy_(values_B)
                torch.add(row_B, number * chunk_classes, out=class_NB[number])
            if hard_negatives is not None:
                cosine_KB = _replaced(cosine_KB, hard_negatives, chunk.targets_T, scratch)
                torch.amax(cosine_KB, 0, out=peak_B)
            exponential_KB = scratch.take("exponential", len(chunk.w_KD))
            torch.addcmul(minus_scale_B * peak_B, cosine_KB, scale_B, out=exponential_KB).exp_()
            torch.sum(_fill(exponential_KB, chunk.targets_T, 0), 0, out=sum_B)
        negative_lse_B = (scale_B * peak_NB + sum_NB.log()).logsumexp(0)
        hardest_B, class_B = _hardest(hardest_NB, class_NB)
        target_cosine_B = torch.zeros_like(hardest_B)
        if len(w_CD):
            local_B, row_B = own_rows(y_B, len(w_CD))
            target_cosine_B = ((x_BD * w_CD[row_B]).sum(1) * inverse_norm_C[row_B]).where(local_B, 0)
        ctx.save_for_backward(x_BD, w_CD, y_B, scale_B, inverse_norm_C, negative_lse_B, target_cosine_B)
        ctx.kept_CB, ctx.targets, ctx.hard_negatives = kept_CB, targets, hard_negatives
        ctx.gradient_buffer, ctx.chunk_classes = reused_buffer(w_CD, "gradient"), chunk_classes
        ctx.mark_non_differentiable(hardest_B, *([] if class_B is None else [class_B]))
        return target_cosine_B, negative_lse_B, hardest_B, class_B

    @staticmethod
    @once_differentiable
    @without_autocast
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        x_BD, w_CD, y_B, scale_B, inverse_norm_C, negative_lse_B, target_cosine_B = ctx.saved_tensors
        hard_negatives: HardNegatives | None = ctx.hard_negatives
        scratch = _Scratch(x_BD, min(ctx.chunk_classes, len(w_CD)))
        # Every row of the softmax has one factor. It is multiplied into x_BD instead of into all B×C values.
        factor_B = grad_lse_B * scale_B
        weighted_x_BD = factor_B[:, None] * x_BD
        minus_lse_B = -negative_lse_B
        grad_x_BD, grad_scale_B = torch.zeros_like(x_BD), torch.zeros_like(scale_B)
        grad_w_CD = ctx.gradient_buffer.empty(tuple(w_CD.shape), w_CD)
        chunks = _chunks(w_CD, inverse_norm_C, ctx.kept_CB, ctx.targets, ctx.chunk_classes)
        for chunk, grad_w_KD in zip(chunks, grad_w_CD.split(ctx.chunk_classes), strict=False):
            classes = len(chunk.w_KD)
            cosine_KB = chunk.kept_KB
            if cosine_KB is None:
                cosine_KB = chunk.cosines(x_BD, out_KB=scratch.take("cosine", classes))
            effective_KB = cosine_KB
            if hard_negatives is not None:
                effective_KB = _replaced(cosine_KB, hard_negatives, chunk.targets_T, scratch)
            probability_KB = scratch.take("exponential", classes)
            torch.addcmul(minus_lse_B, effective_KB, scale_B, out=probability_KB).exp_()
            _fill(probability_KB, chunk.targets_T, 0)
            product_KB = torch.mul(probability_KB, effective_KB, out=scratch.take("product", classes))
            if ctx.needs_input_grad[3]:
                grad_scale_B.add_(product_KB.sum(0))
            if hard_negatives is not None:
                _multiply_by_slope(probability_KB, cosine_KB, hard_negatives, chunk.targets_T, scratch)
                torch.mul(probability_KB, cosine_KB, out=product_KB)
            # The derivative d cos/dw for a normalised centre: the part along the centre does not change its direction.
            radial_K1 = torch.mv(product_KB, factor_B)[:, None].mul_(chunk.minus_square_K1)
            probability_KB.mul_(chunk.inverse_norm_K1)
            grad_x_BD.addmm_(probability_KB.T, chunk.w_KD)
            torch.mul(chunk.w_KD, radial_K1, out=grad_w_KD)
            grad_w_KD.addmm_(probability_KB, weighted_x_BD)
        grad_x_BD.mul_(factor_B[:, None])
        if len(w_CD):
            local_B, row_B = own_rows(y_B, len(w_CD))
            inverse_norm_B = inverse_norm_C[row_B]
            slope_B1 = (grad_target_B.where(local_B, 0) * inverse_norm_B)[:, None]
            w_BD = w_CD[row_B]
            grad_x_BD.addcmul_(slope_B1, w_BD)
            across_BD = torch.addcmul(x_BD, (target_cosine_B * inverse_norm_B)[:, None], w_BD, value=-1)
            grad_w_CD.index_put_((row_B,), slope_B1 * across_BD, accumulate=True)
        return grad_x_BD, grad_w_CD, None, grad_lse_B * grad_scale_B, None, None, None, None


def _hardest(hardest_NB: Tensor, class_NB: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """The largest of the chunks' largest negatives, −inf where there is none, and its class, −1 where there is none."""
    if class_NB is None:
        hardest_B, class_B = hardest_NB.amax(0), None
    else:
        hardest_B, chunk_B = hardest_NB.max(0)
        class_B = class_NB.gather(0, chunk_B[None]).squeeze(0)
    hardest_B.masked_fill_(hardest_B == _absent(hardest_B), -torch.inf)
    return hardest_B, None if class_B is None else class_B.masked_fill_(~hardest_B.isfinite(), -1)


class _Chunk(NamedTuple):
    """Consecutive classes. `minus_square_K1`: −1/‖w‖². `kept_KB`: the memory that keeps their cosines, or None.
    `targets_T`: the positions of the samples' own classes in the flattened (K, B) matrix."""

    w_KD: Tensor
    inverse_norm_K1: Tensor
    minus_square_K1: Tensor
    kept_KB: Tensor | None
    targets_T: Tensor

    def cosines(self, x_BD: Tensor, out_KB: Tensor) -> Tensor:
        """The cosines. Those of the targets are replaced by `_absent`, so that no maximum and no threshold selects
        them."""
        torch.mm(self.w_KD, x_BD.T, out=out_KB).mul_(self.inverse_norm_K1)
        return _fill(out_KB, self.targets_T, _absent(out_KB))


def _chunks(
    w_CD: Tensor, inverse_norm_C: Tensor, kept_CB: Tensor, targets: list[Tensor], chunk_classes: int
) -> Iterator[_Chunk]:
    if not targets:  # `split` of an empty tensor would give one empty chunk
        return
    inverse_norm_C1 = inverse_norm_C[:, None]
    per_class = (w_CD, inverse_norm_C1, -inverse_norm_C1.square())
    kept = kept_CB.split(chunk_classes) if len(kept_CB) else ()
    columns = zip(*(values.split(chunk_classes) for values in per_class), strict=True)
    for (w_KD, inverse_norm_K1, minus_square_K1), kept_KB, targets_T in zip_longest(columns, kept, targets):
        yield _Chunk(w_KD, inverse_norm_K1, minus_square_K1, kept_KB, targets_T)


def _targets(y_B: Tensor, num_classes: int, chunk_classes: int, device: torch.device) -> list[Tensor]:
    """For every chunk, the positions of the samples' own classes in its flattened (K, B) matrix, on `device`."""
    y_B = y_B.cpu()  # where the chunks' shares are known without waiting
    firsts = list(range(0, num_classes, chunk_classes))
    places_B = (y_B * len(y_B) + torch.arange(len(y_B))).sort().values
    bounds = torch.searchsorted(places_B, torch.tensor([*firsts, num_classes]) * len(y_B)).tolist()
    places_B = on_device(places_B, None, device)
    return [
        places_B[lower:upper] - first * len(y_B)
        for first, lower, upper in zip(firsts, bounds, bounds[1:], strict=False)
    ]


def _absent(values: Tensor) -> float:
    """The value that stands for "no cosine". It is the lowest finite number, because −inf·0 and −inf + inf give NaN."""
    return torch.finfo(values.dtype).min


def _fill(values_KB: Tensor, places_T: Tensor, value: float) -> Tensor:
    values_KB.view(-1).index_fill_(0, places_T, value)
    return values_KB


class _Scratch:
    """Temporary tensors for the chunks of one pass, each allocated when it is first used."""

    def __init__(self, like_BD: Tensor, chunk_classes: int) -> None:
        self._like_BD, self._chunk_classes = like_BD, chunk_classes
        self._tensors: dict[str, Tensor] = {}

    def take(self, name: str, classes: int, dtype: torch.dtype | None = None) -> Tensor:
        """The tensor called `name`, (classes, B). It still holds the values that were last written to it."""
        if name not in self._tensors:
            self._tensors[name] = self._like_BD.new_empty(self._chunk_classes, len(self._like_BD), dtype=dtype)
        return self._tensors[name][:classes]


def own_rows(y_B: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Whether each sample's class is one of these classes, (B,), and its row, (B,); if it is not, any row.

    The samples of other shards, nearly all of a large group's, take different rows, because CUDA adds what goes to one
    row one after the other.
    """
    local_B = (y_B >= 0) & (y_B < num_classes)
    return local_B, y_B.where(local_B, torch.arange(len(y_B), device=y_B.device) % num_classes)


def _replaced(cosine_KB: Tensor, hard_negatives: HardNegatives, targets_T: Tensor, scratch: _Scratch) -> Tensor:
    """The cosines after those above the threshold are replaced. The targets are again set to `_absent`."""
    threshold_B, alpha, beta, gamma = hard_negatives
    above_KB = torch.gt(cosine_KB, threshold_B, out=scratch.take("above", len(cosine_KB), torch.bool))
    replaced_KB = torch.mul(cosine_KB, alpha, out=scratch.take("replaced", len(cosine_KB)))
    replaced_KB.add_(beta).mul_(cosine_KB).add_(gamma)
    torch.where(above_KB, replaced_KB, cosine_KB, out=replaced_KB)
    return _fill(replaced_KB, targets_T, _absent(cosine_KB))


def _multiply_by_slope(
    probability_KB: Tensor, cosine_KB: Tensor, hard_negatives: HardNegatives, targets_T: Tensor, scratch: _Scratch
) -> None:
    """Multiply by d replaced/d cosine: 2αc + β above the threshold, else 1."""
    above_KB = scratch.take("above", len(cosine_KB), torch.bool)  # as `_replaced` left it
    slope_KB = torch.mul(cosine_KB, 2 * hard_negatives.alpha, out=scratch.take("slope", len(cosine_KB)))
    slope_KB.add_(hard_negatives.beta).masked_fill_(above_KB.logical_not_(), 1)
    # The targets hold the lowest finite number. If even that lies above the threshold, its slope overflows, and 0·∞
    # gives NaN.
    _fill(probability_KB.mul_(slope_KB), targets_T, 0)
