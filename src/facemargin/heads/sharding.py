"""Class-parallel heads: every process holds a range of the classes; processes exchange three numbers per sample.

The terms of each shard (the target cosine or 0, the log-sum-exp and the hardest of its negatives) are gathered once and
reduced in the order of the ranks, so that every process gets the same terms to the last bit:

    c_y = Σ_r c_y,r      LSE = log Σ_r exp(LSE_r)      hardest = max_r hardest_r

and of binary classification, whose negatives are a sum, n = Σ_r n_r in the LSE's place.

The hardest negative's class, where it is asked for, travels with them: the lowest rank's of equal ones, which is the
lowest class.

Shapes: B samples of the global batch, P processes, C classes, D feature values, T terms.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.full_precision import Function
from facemargin.heads.chunked import own_rows
from facemargin.heads.collectives import Group, all_gather, sum_for_margin
from facemargin.heads.normalization import unit_rows
from facemargin.heads.sub_centers import center_rows, nearest_rows
from facemargin.margins.base import BinaryTerms, SoftmaxTerms


def shard_range(num_classes: int, rank: int, processes: int) -> tuple[int, int]:
    """[first, last) of the classes that process `rank` holds: the layout of `torch.chunk` and of DTensor's Shard(0).

    Every shard has ⌈C/P⌉ classes until they run out; the last ones may have fewer, or none.
    """
    size = -(-num_classes // processes)
    return min(rank * size, num_classes), min((rank + 1) * size, num_classes)


def combine_terms(terms: SoftmaxTerms, group: Group) -> SoftmaxTerms:
    """The terms over all classes from those of each process's shard, whose hardest class is numbered among all classes;
    the same on every process."""
    if group is None:
        return terms
    return type(terms)(*_Combine.apply(*terms, isinstance(terms, BinaryTerms), group))


def sum_own_targets(target_cosine_B: Tensor, group: Group) -> Tensor:
    """Every sample's target cosine: the sum of the value from the process that holds its class and the others'
    zeros."""
    return sum_for_margin(target_cosine_B, group)


def target_centers(x_BD: Tensor, w_CD: Tensor, y_B: Tensor, group: Group) -> Tensor:
    """Unit centres of the samples' own classes, (B, D); with sub-centres, those nearest to the samples `x_BD`. The
    gradient goes to the shard that holds the centre. `y_B` counts from the first class of this shard; a number out of
    range is a class of another shard."""
    if len(w_CD) == 0:
        return sum_for_margin(torch.zeros_like(x_BD, requires_grad=False), group)
    own_B, class_B = own_rows(y_B, len(w_CD))
    row_B = nearest_rows(x_BD, w_CD, class_B)
    return sum_for_margin(unit_rows(center_rows(w_CD)[row_B]).where(own_B[:, None], 0), group)


def stored_centers(w_CD: Tensor, y_B: Tensor, group: Group) -> Tensor:
    """As `target_centers`, with the lengths that the centres are stored with, and without gradient."""
    if len(w_CD) == 0:
        return sum_for_margin(w_CD.new_zeros(len(y_B), w_CD.shape[1]), group)
    own_B, row_B = own_rows(y_B, len(w_CD))
    return sum_for_margin(w_CD.detach()[row_B].where(own_B[:, None], 0), group)


class _Combine(Function):
    @staticmethod
    def forward(
        ctx: Any,
        target_B: Tensor,
        lse_B: Tensor,
        hardest_B: Tensor,
        class_B: Tensor | None,
        adds: bool,
        group: torch.distributed.ProcessGroup,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        own = [target_B, lse_B, hardest_B]
        # Among the others as the bits of a whole number of the same size: as a float it would be rounded.
        whole = torch.int64 if target_B.dtype == torch.float64 else torch.int32
        if class_B is not None:
            own.append(class_B.to(whole).view(target_B.dtype))
        own_TB = torch.stack(own)
        gathered = own_TB.new_empty(group.size() * len(own), len(target_B))
        all_gather(gathered, own_TB, group=group)
        gathered_TPB = gathered.view(group.size(), len(own), len(target_B)).transpose(0, 1)
        target_PB, lse_PB, hardest_PB = gathered_TPB[:3]
        combined_B = lse_PB.sum(0) if adds else lse_PB.logsumexp(0)
        # This shard's share of the negatives' probability; 0 for a sample that has no negatives at all.
        share_B = torch.where(combined_B > -torch.inf, (lse_B - combined_B).exp(), 0.0)
        ctx.save_for_backward(torch.ones_like(share_B) if adds else share_B)
        if class_B is None:
            hardest_all_B = hardest_PB.amax(0)
            ctx.mark_non_differentiable(hardest_all_B)
            return target_PB.sum(0), combined_B, hardest_all_B, None
        hardest_all_B, rank_B = hardest_PB.max(0)
        class_PB = gathered_TPB[3].contiguous().view(whole)
        class_all_B = class_PB.gather(0, rank_B[None]).squeeze(0).long()
        ctx.mark_non_differentiable(hardest_all_B, class_all_B)
        return target_PB.sum(0), combined_B, hardest_all_B, class_all_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_target_B: Tensor, grad_lse_B: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        (share_B,) = ctx.saved_tensors
        return grad_target_B, grad_lse_B * share_B, None, None, None, None
