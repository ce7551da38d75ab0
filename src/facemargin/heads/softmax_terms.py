"""The B×C product of a softmax head, reduced to three numbers per sample.

Shapes: B samples, C classes, D feature values.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from facemargin.errors import ConfigError, DataError
from facemargin.full_precision import Once, eager_in_compiled_code, product
from facemargin.heads.choice import automatic_backward, automatic_implementation
from facemargin.heads.chunked import own_rows, softmax_terms_chunked, softmax_terms_recomputed
from facemargin.heads.largest import largest_with_index
from facemargin.heads.normalization import nonzero, row_norms, unit_rows
from facemargin.heads.rounded_products import Backward
from facemargin.heads.sub_centers import center_rows, largest_of_class, nearest_rows
from facemargin.heads.triton import softmax_terms_triton
from facemargin.margins.base import HardNegatives, SoftmaxTerms
from facemargin.registry import unknown_name
from facemargin.transfer import on_device


@eager_in_compiled_code
def softmax_terms(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None = None,
    implementation: str = "auto",
    hardest_class: bool = False,
) -> SoftmaxTerms:
    """Target cosine, log-sum-exp of the scaled negatives and hardest negative cosine of every sample.

    `x_BD` unit vectors, `w_CD` centres as stored (normalised inside), or (C, K, D) with K sub-centres a class, of which
    the nearest gives the class's cosine, `y_B` int64 classes in [0, C), `scale_B` the factor on each sample's cosines.
    All are on one device; `y_B` may also be on the CPU, and nothing then waits for a GPU. Gradients flow into `x_BD`,
    `w_CD` and `scale_B`. They can be computed once: a second backward pass through the same result raises RuntimeError.
    With one class there are no negatives; the last two terms are then −inf and pass no gradient. `hardest_class` also
    asks for the class of the hardest negative.

    `implementation`: "eager" is the readable reference, "chunked" never holds more than a chunk of classes at a time,
    "triton" fuses the computation on a GPU, "auto" chooses the one that suits the size and the device. Raises DataError
    for shapes, types, devices or labels that do not fit.

    Examples:
        >>> import facemargin as fm, torch
        >>> terms = fm.softmax_terms(torch.eye(2, 4), torch.eye(3, 4), torch.tensor([0, 1]), torch.full((2,), 64.0))
        >>> terms.target_cosine_B
        tensor([1., 1.])
    """
    _check_inputs(x_BD, w_CD, y_B, scale_B)
    return shard_terms(x_BD, w_CD, y_B, scale_B, hard_negatives, implementation, hardest_class=hardest_class)


def shard_terms(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    implementation: str,
    backward: Backward = "float32",
    hardest_class: bool = False,
) -> SoftmaxTerms:
    """`softmax_terms` over the centres of one shard. A class outside [0, C) belongs to another shard: all C centres are
    then negatives, and the target cosine is 0 without gradient. C may be 0. For `y_B` on the CPU, every implementation
    starts without waiting for the device. "eager" has no `backward` other than "float32"."""
    if implementation == "auto":
        implementation = automatic_implementation(x_BD, w_CD, scale_B, hard_negatives, backward, hardest_class)
        backward = automatic_backward(implementation, backward, x_BD)
    if implementation not in IMPLEMENTATIONS:
        raise ConfigError(unknown_name("implementation", implementation, [*IMPLEMENTATIONS, "auto"]))
    options = {} if implementation == "eager" else {"backward": backward}
    return IMPLEMENTATIONS[implementation](
        x_BD, w_CD, y_B, scale_B, hard_negatives, hardest_class=hardest_class, **options
    )


def own_target_cosines(x_BD: Tensor, w_CD: Tensor, y_B: Tensor) -> Tensor:
    """Only the target cosines, (B,), as dot products of rows; 0 for classes of another shard."""
    if len(w_CD) == 0:
        return x_BD.new_zeros(len(x_BD))
    own_B, class_B = own_rows(y_B, len(w_CD))
    w_BD = center_rows(w_CD)[nearest_rows(x_BD, w_CD, class_B)]
    return ((x_BD * w_BD).sum(1) / nonzero(row_norms(w_BD))).where(own_B, 0)


def softmax_terms_eager(
    x_BD: Tensor,
    w_CD: Tensor,
    y_B: Tensor,
    scale_B: Tensor,
    hard_negatives: HardNegatives | None,
    hardest_class: bool = False,
) -> SoftmaxTerms:
    """`shard_terms` written as the terms are defined, with whole B×C matrices. Autograd computes the gradients."""
    y_B = on_device(y_B, None, x_BD.device)
    x_BD, w_CD, scale_B = (Once.apply(values) for values in (x_BD, w_CD, scale_B))
    cosine_BC = largest_of_class(product(x_BD, unit_rows(center_rows(w_CD))), w_CD)
    is_target_BC = y_B[:, None] == torch.arange(w_CD.shape[0], device=y_B.device)
    target_cosine_B = cosine_BC.masked_fill(~is_target_BC, 0).sum(1)
    negative_BC = cosine_BC.detach().masked_fill(is_target_BC, -torch.inf)
    hardest_class_B: Tensor | None = None
    if w_CD.shape[0] == 0:
        hardest_negative_B = torch.full_like(scale_B, -torch.inf, requires_grad=False)
        hardest_class_B = torch.full_like(y_B, -1) if hardest_class else None
    elif hardest_class:
        hardest_negative_B, hardest_class_B = largest_with_index(negative_BC, 1)
        hardest_class_B = hardest_class_B.masked_fill(~hardest_negative_B.isfinite(), -1)
    else:
        hardest_negative_B = negative_BC.amax(1)
    del negative_BC  # a whole matrix, which would live until the end
    if hard_negatives is not None:
        threshold_B, alpha, beta, gamma = hard_negatives
        replaced_BC = alpha * cosine_BC.square() + beta * cosine_BC + gamma
        cosine_BC = torch.where(cosine_BC > threshold_B[:, None], replaced_BC, cosine_BC)
    # Rows without negatives are left out, because the gradient of an empty log-sum-exp is NaN.
    has_negatives_B1 = hardest_negative_B[:, None] != -torch.inf
    logits_BC = (scale_B[:, None] * cosine_BC).masked_fill(is_target_BC & has_negatives_B1, -torch.inf)
    negative_lse_B = logits_BC.logsumexp(1).masked_fill(~has_negatives_B1.squeeze(1), -torch.inf)
    return SoftmaxTerms(target_cosine_B, negative_lse_B, hardest_negative_B, hardest_class_B)


IMPLEMENTATIONS: dict[str, Callable[..., SoftmaxTerms]] = {
    "eager": softmax_terms_eager,
    "chunked": softmax_terms_chunked,
    "recomputed": softmax_terms_recomputed,
    "triton": softmax_terms_triton,
}


def _check_inputs(x_BD: Tensor, w_CD: Tensor, y_B: Tensor, scale_B: Tensor) -> None:
    if x_BD.ndim != 2 or w_CD.ndim not in (2, 3) or x_BD.shape[1] != w_CD.shape[-1] or 0 in w_CD.shape[1:-1]:
        raise DataError(
            f"features {tuple(x_BD.shape)} and centres {tuple(w_CD.shape)} do not fit; expected (B, D) and (C, D), or "
            "(C, K, D) with sub-centres"
        )
    if y_B.shape != x_BD.shape[:1] or scale_B.shape != x_BD.shape[:1]:
        raise DataError(
            f"labels {tuple(y_B.shape)} and scale {tuple(scale_B.shape)} do not fit {len(x_BD)} features; expected (B,)"
        )
    if y_B.dtype != torch.int64:
        raise DataError(f"labels are {y_B.dtype}, expected torch.int64")
    if not x_BD.dtype == w_CD.dtype == scale_B.dtype or x_BD.dtype not in (torch.float32, torch.float64):
        raise DataError(
            f"features {x_BD.dtype}, centres {w_CD.dtype} and scale {scale_B.dtype}: expected all float32 or float64"
        )
    if not x_BD.device == w_CD.device == scale_B.device or y_B.device not in (x_BD.device, torch.device("cpu")):
        raise DataError(
            f"features are on {x_BD.device}, centres on {w_CD.device}, scale on {scale_B.device} and labels on "
            f"{y_B.device}: expected all on one device; the labels may be on the CPU instead"
        )
    if len(y_B):
        lowest, highest = (int(value) for value in y_B.aminmax())
        if lowest < 0 or highest >= len(w_CD):
            raise DataError(f"labels run from {lowest} to {highest}, expected 0 to {len(w_CD) - 1}")
