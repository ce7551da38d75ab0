"""The combined margin (Deng et al., CVPR 2019, section 2.2, arXiv 1801.07698): factor, angle and cosine.

Shapes: B samples.
"""

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.angles import clipped_angle, straight_through
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class CombinedMarginConfig(ConstantScaleConfig):
    """The three margins, and how they are computed."""

    within_pi = ("m2", "m3")

    m1: float = 1.0
    """m1: the target angle is multiplied by it."""
    m2: float = 0.5
    """m2 in radians: it is added to the target angle."""
    m3: float = 0.0
    """m3: it is subtracted from the target cosine."""
    gradient: Literal["true", "insightface"] = "true"
    """"true" differentiates through the arccos. "insightface" computes the margin outside autograd, as InsightFace's
    arcface_torch does, so that d(target logit)/d(target cosine) = s."""
    epsilon: float = 1e-4
    """The target cosine is clipped to ±(1−ε) and the angle with its margin to [ε, π−ε]."""
    clip_angle: bool = True
    """False does not clip the angle with its margin, as in InsightFace's arcface_torch. Beyond π the logit then rises
    again, so that a sample there is rewarded for a larger angle."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.m1 < math.inf:
            raise ConfigError(f"m1 is {self.m1}, expected a positive number")


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
