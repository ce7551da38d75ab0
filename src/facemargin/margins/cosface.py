"""CosFace (Wang et al., CVPR 2018, arXiv 1801.09414): a margin subtracted from the cosine. Shapes: B samples."""

from dataclasses import dataclass

from torch import Tensor

from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class CosFaceConfig(ConstantScaleConfig):
    """CosFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.35
    """m, subtracted from the target cosine (.35 in the paper, .4 in later recipes)."""


@register_margin("cosface")
class CosFace(ConstantScaleMargin):
    """Target logit s·(c_y − m)."""

    Config = CosFaceConfig
    config: CosFaceConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * (terms.target_cosine_B - self.config.margin)
