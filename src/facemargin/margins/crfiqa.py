"""CR-FIQA's classification term (Boutros et al., CVPR 2023, arXiv 2112.06592): ArcFace, as its code computes it.

    target logit  s·cos(θ_y + m),   m = 0.5, s = 64

The angle is not clipped, so that the logit rises again past θ_y = π − m ("arcface" clips it). The main idea of CR-FIQA,
a layer that learns to predict the certainty ratio, works with any margin: see quality/crfiqa.py. Shapes: B samples.
"""

from dataclasses import dataclass

from torch import Tensor

from facemargin.margins.angles import add_angle
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class CRFIQAConfig(ConstantScaleConfig):
    """Settings of CR-FIQA's classification term."""

    within_pi = ("margin",)

    margin: float = 0.5
    """m in radians, added to the target angle."""


@register_margin("crfiqa")
class CRFIQA(ConstantScaleMargin):
    """Target logit s·cos(θ_y + m)."""

    Config = CRFIQAConfig
    config: CRFIQAConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * add_angle(terms.target_cosine_B, self.config.margin)
