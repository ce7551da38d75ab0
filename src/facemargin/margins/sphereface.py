"""SphereFace (Liu et al., CVPR 2017, arXiv 1704.08063): a margin that multiplies the angle. Shapes: B samples."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.base import Margin, MarginConfig, SoftmaxTerms, register_margin


@dataclass(frozen=True, kw_only=True)
class SphereFaceConfig(MarginConfig):
    """SphereFace's settings.

    The annealing weight falls with the step as λ = max(lambda_end, lambda_start/(1 + lambda_decay·step)).
    """

    multiplier: int = 4
    """m, a whole number, the factor on the target angle."""
    lambda_start: float = 1000.0
    """The annealing weight of the plain cosine at the first step."""
    lambda_end: float = 5.0
    """The smallest annealing weight."""
    lambda_decay: float = 0.12
    """How fast the annealing weight falls with the step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.multiplier < 1:
            raise ConfigError(f"multiplier is {self.multiplier}, expected a whole number of at least 1")
        if not 0 <= self.lambda_end <= self.lambda_start or not self.lambda_decay >= 0:
            raise ConfigError(
                f"lambda_start {self.lambda_start}, lambda_end {self.lambda_end} and lambda_decay {self.lambda_decay}: "
                "expected 0 ≤ lambda_end ≤ lambda_start and lambda_decay ≥ 0"
            )


@register_margin("sphereface")
class SphereFace(Margin):
    """Target logit a·(λ·cos θ_y + ψ(θ_y))/(1 + λ), ψ(θ) = (−1)^k·cos(mθ) − 2k for θ in [kπ/m, (k+1)π/m].

    The scale is the feature norm a, with its gradient. The annealing is that of the authors' code.
    """

    Config = SphereFaceConfig
    config: SphereFaceConfig
    step: Tensor

    def __init__(self, config: SphereFaceConfig) -> None:
        super().__init__(config)
        self.register_buffer("step", torch.tensor(0))

    def scale(self, norm_B: Tensor) -> Tensor:
        return norm_B

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        self.step += 1

    def annealing(self) -> Tensor:
        """λ, a float64 scalar."""
        config = self.config
        return (config.lambda_start / (1 + config.lambda_decay * self.step.double())).clamp_min(config.lambda_end)

    def psi(self, cosine_B: Tensor) -> Tensor:
        """ψ(θ), (B,), falling from 1 at θ = 0 to 1 − 2m at π."""
        m = self.config.multiplier
        angle_B = torch.acos(cosine_B.detach().clamp(-1, 1))
        k_B = (angle_B * m / math.pi).floor().clamp(max=m - 1)
        sign_B = 1 - 2 * (k_B % 2)
        return sign_B * _cosine_of_multiple(cosine_B, m) - 2 * k_B

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        cosine_B, annealing = terms.target_cosine_B, self.annealing().to(norm_B.dtype)
        return norm_B * (annealing * cosine_B + self.psi(cosine_B)) / (1 + annealing)


def _cosine_of_multiple(cosine_B: Tensor, m: int) -> Tensor:
    """cos(mθ), (B,), as the Chebyshev polynomial of cos θ: unlike arccos it has a finite gradient at ±1."""
    before_B, value_B = torch.ones_like(cosine_B), cosine_B
    for _ in range(m - 1):
        before_B, value_B = value_B, 2 * cosine_B * value_B - before_B
    return value_B
