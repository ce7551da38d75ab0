"""ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698): a margin added to the angle. Shapes: B samples."""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from facemargin.margins.angles import clipped_angle, straight_through
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class ArcFaceConfig(ConstantScaleConfig):
    """ArcFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.5
    """m in radians, added to the target angle."""
    gradient: Literal["true", "insightface"] = "true"
    """"true" differentiates through the arccos. "insightface" computes the margin outside autograd, as InsightFace's
    arcface_torch does, so that d(target logit)/d(target cosine) = s."""
    epsilon: float = 1e-4
    """The target cosine is clipped to ±(1−ε) and the angle with its margin to [ε, π−ε]."""
    clip_angle: bool = True
    """False does not clip the angle with its margin, as in InsightFace's arcface_torch. Beyond π the logit then rises
    again, so that a sample there is rewarded for a larger angle."""


@register_margin("arcface")
class ArcFace(ConstantScaleMargin):
    """Target logit s·cos(θ_y + m)."""

    Config = ArcFaceConfig
    config: ArcFaceConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        config = self.config
        angle_B = clipped_angle(terms.target_cosine_B, config.epsilon) + config.margin
        if config.clip_angle:
            angle_B = angle_B.clamp(config.epsilon, math.pi - config.epsilon)
        moved_B = angle_B.cos()
        if config.gradient == "insightface":
            moved_B = straight_through(moved_B, terms.target_cosine_B)
        return config.scale * moved_B
