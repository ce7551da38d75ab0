"""FunFace (arXiv 2604.26598, FG 2026): AdaFace's margin with biometric utility mixed into it. Shapes: B samples."""

from dataclasses import dataclass

from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.margins.adaface import AdaFace, AdaFaceConfig
from facemargin.margins.base import SoftmaxTerms, register_margin
from facemargin.margins.certainty_ratio import certainty_ratio
from facemargin.margins.statistics import RunningStatistics


@dataclass(frozen=True, kw_only=True)
class FunFaceConfig(AdaFaceConfig):
    """AdaFace's settings, and how the certainty ratio (CR) enters the quality q.

    With sampled classes the hardest negative, and so CR, is taken over the sampled centres only.
    """

    mixing_factor: float = 0.1
    """λ, the certainty ratio's share of q; the norm's is 1 − λ."""
    epsilon: float = 1e-5
    """Clips the target cosine to ±(1−ε) and the angle to [ε, π−ε], and keeps CR's denominator from 0."""
    initial_ratio_mean: float = 2.0
    """The running mean of CR until the first training batch."""
    initial_ratio_std: float = 10.0
    """The running standard deviation of CR until the first training batch."""
    certainty_ratio_bound: float | None = None
    """The largest value of CR. Without a bound, as in the paper, CR reaches 1/ε = 1e5 for a sample without a positive
    negative cosine, and such a value dominates the running standard deviation for hundreds of steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mixing_factor <= 1:
            raise ConfigError(f"mixing_factor is {self.mixing_factor}, expected a number in [0, 1]")
        if self.certainty_ratio_bound is not None and self.certainty_ratio_bound <= 0:
            raise ConfigError(f"certainty_ratio_bound is {self.certainty_ratio_bound}, expected a positive number")


@register_margin("funface")
class FunFace(AdaFace):
    """Target logit s·(cos(clip(θ_y − m·q, ε, π−ε)) − (m + m·q)) with q = λ·q_cr + (1−λ)·q_norm."""

    Config = FunFaceConfig
    config: FunFaceConfig

    def __init__(self, config: FunFaceConfig) -> None:
        super().__init__(config)
        self.ratio_statistics = RunningStatistics(config.t_alpha, config.initial_ratio_mean, config.initial_ratio_std)

    def certainty_ratio(self, terms: SoftmaxTerms) -> Tensor:
        """CR, (B,), capped at `certainty_ratio_bound`."""
        return certainty_ratio(
            terms.target_cosine_B, terms.hardest_negative_B, self.config.epsilon, self.config.certainty_ratio_bound
        )

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        super().observe(terms, norm_B)
        self.ratio_statistics.update(self.certainty_ratio(terms))

    def ratio_quality(self, terms: SoftmaxTerms) -> Tensor:
        """q_cr = clip(h·(CR − μ_cr)/(σ_cr + ε), −1, 1), without gradient, (B,)."""
        standardized_B = self.ratio_statistics.standardize(self.certainty_ratio(terms), self.config.epsilon)
        return (self.config.h * standardized_B).clamp(-1, 1)

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """q = λ·q_cr + (1−λ)·q_norm, (B,)."""
        mixing = self.config.mixing_factor
        return mixing * self.ratio_quality(terms) + (1 - mixing) * self.norm_quality(norm_B)
