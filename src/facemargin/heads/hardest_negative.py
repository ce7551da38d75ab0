"""The hardest negative among all centres, for heads that compute the softmax over sampled classes.

Shapes: B samples, C classes, D feature values, K classes of a chunk.
"""

import torch
from torch import Tensor

from facemargin.full_precision import product
from facemargin.heads.largest import largest_with_index
from facemargin.heads.normalization import unit_rows
from facemargin.heads.sub_centers import center_rows, largest_of_class

_CHUNK_COSINES = 2**22


@torch.no_grad()
def hardest_negatives(
    x_BD: Tensor, w_CD: Tensor, y_B: Tensor, hardest_class: bool = False
) -> tuple[Tensor, Tensor | None]:
    """max_{j≠y} of the cosines between unit rows `x_BD` and the centres `w_CD` (with sub-centres (C, K, D)), (B,),
    computed for one chunk of classes after another, and if `hardest_class` the j, the lowest of several. They are −inf
    and −1 for a sample without negatives. Labels outside [0, C) are classes of another shard."""
    hardest_B = x_BD.new_full((len(x_BD),), -torch.inf)
    class_B = torch.full_like(y_B, -1) if hardest_class else None
    chunk_classes = max(256, _CHUNK_COSINES // max(len(x_BD), 1))
    for first, w_KD in zip(range(0, len(w_CD), chunk_classes), w_CD.split(chunk_classes), strict=True):
        cosine_BK = largest_of_class(product(x_BD, unit_rows(center_rows(w_KD))), w_KD)
        is_target_BK = (y_B - first)[:, None] == torch.arange(len(w_KD), device=y_B.device)
        cosine_BK.masked_fill_(is_target_BK, -torch.inf)
        if class_B is None:
            largest_B = cosine_BK.amax(1)
        else:
            largest_B, column_B = largest_with_index(cosine_BK, 1)
            torch.where(largest_B > hardest_B, column_B + first, class_B, out=class_B)
        torch.maximum(hardest_B, largest_B, out=hardest_B)
    return hardest_B, None if class_B is None else class_B.masked_fill_(~hardest_B.isfinite(), -1)
