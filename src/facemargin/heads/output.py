"""What a head returns. Shapes: B samples of this process."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class HeadOutput:
    """What a head returns for a batch. `loss` is the scalar to differentiate. It is the sum of `parts`.

    parts: named scalar terms, "softmax" (or "binary") and those that the margin adds, each a mean over the labelled
    samples. losses_B: the first of them for every sample, 0 for unlabelled samples. The other values carry no
    gradient and are NaN for unlabelled samples: target_cosine_B, hardest_negative_B (−inf with a single class),
    certainty_ratio_B, feature_norm_B (known for every sample), margin_scaler_B (see Margin.margin_scaler),
    negative_lse_B (log Σ_{j≠y} exp(scale·c_j), after the margin's own re-weighting of hard negatives; −inf with a
    single class, NaN for a margin of binary classification, which has none). hardest_class_B, int64, is the class of
    the hardest negative, the lowest of several as near, −1 where there is none, and None unless the head was created
    with hardest_class=True.

    With several processes, `loss` and `parts` are those of the global batch and the same in every process, and every
    process must differentiate the same function of them. The per-sample values are those of this process's rows, and
    losses_B carries no gradient. `num_labeled` is the number of labelled samples in the means.

    Examples:
        >>> import facemargin as fm, torch
        >>> out = fm.create_head("funface", num_classes=10, embedding_size=4)(torch.ones(2, 4), torch.tensor([0, 3]))
        >>> out.loss.shape, out.losses_B.shape, out.target_cosine_B.shape
        (torch.Size([]), torch.Size([2]), torch.Size([2]))
    """

    loss: Tensor
    losses_B: Tensor
    parts: dict[str, Tensor]
    target_cosine_B: Tensor
    hardest_negative_B: Tensor
    certainty_ratio_B: Tensor
    feature_norm_B: Tensor
    margin_scaler_B: Tensor
    negative_lse_B: Tensor
    hardest_class_B: Tensor | None
    num_labeled: int
