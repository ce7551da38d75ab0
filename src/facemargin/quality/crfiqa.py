"""CR-FIQA (Boutros et al., CVPR 2023, arXiv 2112.06592): predicting how well a face can be told from other people's.

While training, the class centres say how much nearer a sample lies to its own centre (CCS, its target cosine c_y) than
to the nearest other one (NNCCS, its hardest negative max_{j≠y} c_j). A layer on top of the feature learns to predict
that ratio during training. Afterwards it predicts the ratio for any face, without centres and labels. This prediction
is the image's quality.

    L = L_margin + λ · mean smooth_l1(CR, prediction; β),        λ = 10, β = 0.5

The paper's CR and the one in its published code are not the same; `certainty_ratio_target` has both.
Shapes: B samples, D feature values.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RatioDefinition = Literal["paper", "code"]

_PAPER_EPSILON = 1e-9
_CODE_MASK = 1e-12


class CertaintyRatioLayer(nn.Module):
    """One linear layer from the unnormalised feature to the predicted certainty ratio, which may be any number."""

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_size, 1)

    def forward(self, features_BD: Tensor) -> Tensor:
        """The predictions (B,). They and their gradients are computed in the type of the weights, also under
        autocast."""
        # A sum of products, which autocast does not cast, unlike a matrix product.
        return (features_BD.to(self.linear.weight.dtype) * self.linear.weight).sum(1) + self.linear.bias


def certainty_ratio_target(
    target_cosine_B: Tensor, hardest_negative_B: Tensor, definition: RatioDefinition = "paper"
) -> Tensor:
    """The ratio that the layer learns to predict, (B,), without gradient.

    "paper": CR = c_y / (NNCCS + 1 + ε), ε = 1e-9. Bounded, except when the nearest other centre lies opposite to the
    sample.

    "code": CR = c_y / max(NNCCS, −1e-12), as in the authors' code, which sets the sample's own class to −1e-12 before
    it takes the maximum. If no negative cosine is positive, the ratio is about −1e12, although the sample is the
    easiest to recognise. This does not happen with tens of thousands of classes, but it does with a few. Where the code
    may divide by zero, a NNCCS from 0 to 1e-12, this function uses 1e-12, so that the ratio is finite.
    """
    c_B, hardest_B = target_cosine_B.detach(), hardest_negative_B.detach()
    if definition == "paper":
        return c_B / (hardest_B.clamp(-1, 1) + 1 + _PAPER_EPSILON)
    return c_B / torch.where(hardest_B < 0, -_CODE_MASK, hardest_B.clamp_min(_CODE_MASK))


def quality_loss(
    prediction_B: Tensor,
    target_cosine_B: Tensor,
    hardest_negative_B: Tensor,
    *,
    definition: RatioDefinition = "paper",
    weight: float = 10.0,
    beta: float = 0.5,
) -> Tensor:
    """λ·mean smooth_l1(CR, prediction; β), a scalar; its gradient reaches the layer and the feature below it.

    The mean is over the samples with a known ratio. Left out are unlabelled samples, whose cosines are NaN (see
    `HeadOutput`), and all samples if there is a single class, which has no negatives (−inf). The gradient of a
    prediction is at most λ/B, however large the ratio.
    """
    known_B = hardest_negative_B.isfinite()
    target_B = certainty_ratio_target(target_cosine_B, hardest_negative_B, definition)
    # The others are replaced rather than left out: how many there are, only the device knows.
    prediction_B, target_B = (values_B.where(known_B, 0) for values_B in (prediction_B, target_B))
    losses_B = F.smooth_l1_loss(prediction_B, target_B, reduction="none", beta=beta)
    return weight * losses_B.sum() / known_B.sum().clamp_min(1)
