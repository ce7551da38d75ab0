"""MV-Softmax (Wang et al., AAAI 2020, arXiv 1912.00833): misclassified vectors count more. Shapes: B samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.angles import add_angle, add_angle_continued, add_angle_easy
from facemargin.margins.base import (
    ConstantScaleConfig,
    ConstantScaleMargin,
    HardNegatives,
    SoftmaxTerms,
    refuse_interclass_filtering,
    register_margin,
)


@dataclass(frozen=True, kw_only=True)
class MVSoftmaxConfig(ConstantScaleConfig):
    """MV-Softmax's settings."""

    within_pi = ("margin",)

    scale: float = 32.0
    """s, the factor on every cosine."""
    margin: float = 0.35
    """m, in cosine for MV-AM, in radians for MV-Arc."""
    t: float = 1.2
    """How much more hard negatives count; 1 means no more than others (the authors' code writes t − 1 = .2)."""
    easy_margin: bool = True
    """True leaves the target cosine alone where it is not positive (the released default)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.t >= 1:
            raise ConfigError(f"t is {self.t}, expected 1 or more")
        refuse_interclass_filtering("MV-Softmax", self)


class _MVSoftmax(ConstantScaleMargin):
    """A negative c above the target cosine with its margin, a misclassified vector, becomes t·c + t − 1: larger than c
    and with t times its gradient. This also holds where the easy margin leaves the target as it is."""

    Config = MVSoftmaxConfig
    config: MVSoftmaxConfig

    def _with_margin(self, cosine_B: Tensor) -> Tensor:
        """The target cosine with its margin, (B,)."""
        raise NotImplementedError

    def negatives(self, target_cosine_B: Tensor) -> HardNegatives:
        t = self.config.t
        return HardNegatives(self._with_margin(target_cosine_B), alpha=0.0, beta=t, gamma=t - 1)


@register_margin("mv_am")
class MVAMSoftmax(_MVSoftmax):
    """Target logit s·(c_y − m) where c_y > 0, else s·c_y."""

    def _with_margin(self, cosine_B: Tensor) -> Tensor:
        return cosine_B - self.config.margin

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        cosine_B = terms.target_cosine_B
        moved_B = self._with_margin(cosine_B)
        if self.config.easy_margin:
            moved_B = torch.where(cosine_B > 0, moved_B, cosine_B)
        return self.config.scale * moved_B


@register_margin("mv_arc")
class MVArcSoftmax(_MVSoftmax):
    """Target logit s·cos(θ_y + m) where c_y > 0, else s·c_y."""

    def _with_margin(self, cosine_B: Tensor) -> Tensor:
        return add_angle(cosine_B, self.config.margin)

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        add = add_angle_easy if self.config.easy_margin else add_angle_continued
        return self.config.scale * add(terms.target_cosine_B, self.config.margin)
