"""URL (Shi et al., CVPR 2020, arXiv 2002.11841): parts of a feature count as much as they can be trusted.

Shapes: B samples, K sub-embeddings of a feature.
"""

import math
from dataclasses import dataclass

from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.base import Margin, MarginConfig, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class URLConfig(MarginConfig):
    """URL's settings."""

    margin: float = 30.0
    """m, subtracted from the target logit."""
    sub_embeddings: int = 1
    """K, into how many parts of equal size a feature is split, each with a confidence of its own; 16 in the recipe."""
    lambda_reg: float = 0.001
    """Weight of the mean squared confidence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.sub_embeddings, int) or self.sub_embeddings < 1:
            raise ConfigError(f"sub_embeddings is {self.sub_embeddings!r}, expected a whole number, at least 1")
        if not 0 <= self.lambda_reg < math.inf:
            raise ConfigError(f"lambda_reg is {self.lambda_reg}, expected a finite number, at least 0")


@register_margin("url")
class URL(Margin):
    """The confidence-aware identification loss over K sub-embeddings: with the unit sub-embeddings f_k of a feature,
    their confidences s_k and the unit parts w_jk of the centre of class j, the logits are

        (1/K)·Σ_k s_k·⟨f_k, w_jk⟩        and that of the own class less m,

    plus λ·(1/K)·Σ_k s_k², which keeps confidences from growing.

    The confidence of a sub-embedding is its norm: the feature is the sub-embeddings s_k·f_k, one after another. It has
    the norm a = √Σ s_k², and a centre of parts w_jk/√K is of unit length, so that the logits are (a/√K)·cos θ_j: a
    softmax over cosines with a scale for every sample, through which the gradient flows.

    Not the paper's: that confidences are norms (its network predicts them), λ, and that the variation classifier, its
    adversary and the augmentation that they need are left out; see docs/losses.md.
    """

    Config = URLConfig
    config: URLConfig

    def __init__(self, config: URLConfig) -> None:
        super().__init__(config)
        self.center_blocks = config.sub_embeddings

    def scale(self, norm_B: Tensor) -> Tensor:
        """a/√K, (B,), with gradient: √K times the root mean square of the confidences, over K."""
        return norm_B / math.sqrt(self.config.sub_embeddings)

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.scale(norm_B) * terms.target_cosine_B - self.config.margin

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """m·√K/a, (B,): the margin as a cosine; a scale under 0.001 counts as 0.001."""
        return self.config.margin / self.scale(norm_B).clamp_min(1e-3)

    def extra_losses(
        self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor, centers_BD: Tensor | None = None
    ) -> dict[str, Tensor]:
        squares_B = norm_B.square() / self.config.sub_embeddings
        return {"confidence": self.config.lambda_reg * squares_B.sum() / max(len(norm_B), 1)}
