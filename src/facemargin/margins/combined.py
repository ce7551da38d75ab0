"""The combined margin (Deng et al., CVPR 2019, section 2.2, arXiv 1801.07698): factor, angle and cosine.

Shapes: B samples.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from facemargin.margins.angles import clipped_angle, straight_through
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class CombinedMarginConfig(ConstantScaleConfig):
    """m1 multiplies the target angle, m2 is added to it, m3 is subtracted from its cosine.

    gradient, epsilon, clip_angle: as in ArcFace.
    """

    m1: float = 1.0
    m2: float = 0.5
    m3: float = 0.0
    gradient: Literal["true", "insightface"] = "true"
    epsilon: float = 1e-4
    clip_angle: bool = True


@register_margin("combined")
class CombinedMargin(ConstantScaleMargin):
    """Target logit s·(cos(m1·θ_y + m2) − m3)."""

    Config = CombinedMarginConfig
    config: CombinedMarginConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        config = self.config
        angle_B = config.m1 * clipped_angle(terms.target_cosine_B, config.epsilon) + config.m2
        if config.clip_angle:
            angle_B = angle_B.clamp(config.epsilon, math.pi - config.epsilon)
        moved_B = angle_B.cos() - config.m3
        if config.gradient == "insightface":
            moved_B = straight_through(moved_B, terms.target_cosine_B)
        return config.scale * moved_B
