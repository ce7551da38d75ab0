"""CurricularFace (Huang et al., CVPR 2020, arXiv 2004.00288): hard negatives count more as training goes on.

Shapes: B samples.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from facemargin.margins.angles import add_angle, add_angle_continued
from facemargin.margins.base import (
    ConstantScaleConfig,
    ConstantScaleMargin,
    HardNegatives,
    SoftmaxTerms,
    refuse_interclass_filtering,
    register_margin,
)
from facemargin.margins.statistics import check_rate


@dataclass(frozen=True, kw_only=True)
class CurricularFaceConfig(ConstantScaleConfig):
    """CurricularFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.5
    """m in radians, added to the target angle."""
    t_alpha: float = 0.01
    """The rate at which t, the weight of hard negatives, follows the mean target cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.t_alpha)
        refuse_interclass_filtering("curricularface", self)


@register_margin("curricularface")
class CurricularFace(ConstantScaleMargin):
    """Target logit s·cos(θ_y + m) where c_y > cos(π − m), else s·(c_y − m·sin(π − m)).

    A negative c above cos(θ_y + m) becomes c·(t + c): t is the running mean of the target cosine. While it is small,
    hard negatives count less; once it has grown, they count more. No gradient flows through t or the choice of hard
    negatives.
    """

    Config = CurricularFaceConfig
    config: CurricularFaceConfig
    t: Tensor

    def __init__(self, config: CurricularFaceConfig) -> None:
        super().__init__(config)
        self.register_buffer("t", torch.tensor(0.0))

    @torch.no_grad()
    def observe_targets(self, target_cosine_B: Tensor) -> None:
        """t ← α·mean(c_y) + (1−α)·t; an empty or non-finite batch changes nothing."""
        mean = target_cosine_B.to(self.t.dtype).mean()
        advanced = self.config.t_alpha * mean + (1 - self.config.t_alpha) * self.t
        self.t.copy_(torch.where(mean.isfinite(), advanced, self.t))

    def negatives(self, target_cosine_B: Tensor) -> HardNegatives:
        threshold_B = add_angle(target_cosine_B, self.config.margin)
        return HardNegatives(threshold_B, alpha=1.0, beta=self.t.to(threshold_B.dtype), gamma=0.0)

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * add_angle_continued(terms.target_cosine_B, self.config.margin)
