"""ElasticFace (Boutros et al., CVPRW 2022, arXiv 2109.09416): a margin drawn for every sample. Shapes: B samples."""

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.angles import add_angle
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin
from facemargin.randomness import Purpose, sample_generator
from facemargin.transfer import on_device


@dataclass(frozen=True, kw_only=True)
class ElasticFaceConfig(ConstantScaleConfig):
    """ElasticFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.5
    """m, the mean of the margins that are drawn."""
    sigma: float = 0.05
    """σ, their standard deviation."""
    order: Literal["random", "hardness", "released"] = "random"
    """Which sample gets which of the drawn margins. "random": in the order of drawing. "hardness" (the "+" of the
    paper): the lower the target cosine, the larger the margin. "released": what the authors' code does for "+". It
    indexes the sorted margins with the argsort of the cosines instead of their ranks, so that the margins do not follow
    the cosines."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sigma >= 0:
            raise ConfigError(f"sigma is {self.sigma}, expected 0 or more")


class _ElasticFace(ConstantScaleMargin):
    """Margins E(m, σ) drawn from a normal distribution, one per sample and step. The draws depend on (seed, step) only.

    In eval mode every margin is m.
    """

    config: ElasticFaceConfig
    step: Tensor

    def __init__(self, config: ElasticFaceConfig) -> None:
        super().__init__(config)
        self.register_buffer("step", torch.tensor(0))

    def _apply(self, *arguments: Any, **options: Any) -> Self:
        step = self.step
        super()._apply(*arguments, **options)  # type: ignore[no-untyped-call]  # torch has no types for it
        self.step = step  # stays on the CPU, where the margins are drawn: reading it there waits for no device
        return self

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        self.step += 1

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """The margins of this step, (B,)."""
        cosine_B = terms.target_cosine_B.detach()
        if not self.training:
            return torch.full_like(cosine_B, self.config.margin)
        generator = sample_generator(self.seed, 0, int(self.step), Purpose.MARGIN)
        draws = generator.normal(self.config.margin, self.config.sigma, len(cosine_B))
        draws_B = on_device(draws, cosine_B.dtype, cosine_B.device)
        if self.config.order == "random":
            return draws_B
        ascending_B = draws_B.sort().values
        easiest_first_B = cosine_B.argsort(descending=True, stable=True)
        if self.config.order == "released":
            return ascending_B[easiest_first_B]
        return torch.empty_like(ascending_B).index_copy_(0, easiest_first_B, ascending_B)


@register_margin("elasticface_arc")
class ElasticFaceArc(_ElasticFace):
    """Target logit s·cos(θ_y + E(m, σ))."""

    Config = ElasticFaceConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * add_angle(terms.target_cosine_B, self.margin_scaler(terms, norm_B))


@dataclass(frozen=True, kw_only=True)
class ElasticFaceArcPlusConfig(ElasticFaceConfig):
    sigma: float = 0.0175
    order: Literal["random", "hardness", "released"] = "hardness"


@register_margin("elasticface_arc_plus")
class ElasticFaceArcPlus(ElasticFaceArc):
    """ElasticFaceArc whose large margins go to the hard samples."""

    Config = ElasticFaceArcPlusConfig


@dataclass(frozen=True, kw_only=True)
class ElasticFaceCosConfig(ElasticFaceConfig):
    margin: float = 0.35


@register_margin("elasticface_cos")
class ElasticFaceCos(_ElasticFace):
    """Target logit s·(c_y − E(m, σ))."""

    Config = ElasticFaceCosConfig

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * (terms.target_cosine_B - self.margin_scaler(terms, norm_B))


@dataclass(frozen=True, kw_only=True)
class ElasticFaceCosPlusConfig(ElasticFaceCosConfig):
    sigma: float = 0.02
    order: Literal["random", "hardness", "released"] = "hardness"


@register_margin("elasticface_cos_plus")
class ElasticFaceCosPlus(ElasticFaceCos):
    """ElasticFaceCos whose large margins go to the hard samples."""

    Config = ElasticFaceCosPlusConfig
