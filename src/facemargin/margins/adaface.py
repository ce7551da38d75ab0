"""AdaFace (Kim et al., CVPR 2022, arXiv 2204.00964): the margin adapts to the feature norm. Shapes: B samples."""

import math
from dataclasses import dataclass

from torch import Tensor

from facemargin.margins.angles import clipped_angle
from facemargin.margins.base import ConstantScaleConfig, ConstantScaleMargin, SoftmaxTerms, register_margin
from facemargin.margins.statistics import RunningStatistics, check_rate

_SMALLEST_NORM, _LARGEST_NORM = 0.001, 100.0


@dataclass(frozen=True, kw_only=True)
class AdaFaceConfig(ConstantScaleConfig):
    """AdaFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.4
    """m: an image of normalised quality ẑ gets the margin −m·ẑ in the angle and m + m·ẑ in the cosine."""
    h: float = 0.333
    """How the norms are spread over −1…1: ẑ is the norm's distance from the mean in standard deviations, times h."""
    t_alpha: float = 0.01
    """α, the rate of the running statistics of the norms; 1 means "this batch alone"."""
    epsilon: float = 1e-3
    """Clips the target cosine to ±(1−ε) and the angle to [ε, π−ε]."""
    initial_norm_mean: float = 20.0
    """The running mean of the norms until the first training batch."""
    initial_norm_std: float = 100.0
    """The running standard deviation of the norms until the first training batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.t_alpha)


@register_margin("adaface")
class AdaFace(ConstantScaleMargin):
    """Target logit s·(cos(clip(θ_y − m·q, ε, π−ε)) − (m + m·q)) with q = q_norm.

    Only the target cosine carries gradient. The authors also clip the negative cosines to ±(1−ε). This code does not,
    which makes a difference only for a sample within 2.6 degrees of another class's centre.
    """

    Config = AdaFaceConfig
    config: AdaFaceConfig
    center_initialization = "unit"

    def __init__(self, config: AdaFaceConfig) -> None:
        super().__init__(config)
        self.norm_statistics = RunningStatistics(config.t_alpha, config.initial_norm_mean, config.initial_norm_std)

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        self.norm_statistics.update(clipped_norm(norm_B))

    def norm_quality(self, norm_B: Tensor) -> Tensor:
        """q_norm = clip(h·(a − μ_a)/(σ_a + ε), −1, 1), without gradient, (B,) (equation 13)."""
        standardized_B = self.norm_statistics.standardize(clipped_norm(norm_B), self.config.epsilon)
        return (self.config.h * standardized_B).clamp(-1, 1)

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """q, (B,): q_norm."""
        return self.norm_quality(norm_B)

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        config = self.config
        margin_q_B = config.margin * self.margin_scaler(terms, norm_B)
        angle_B = clipped_angle(terms.target_cosine_B, config.epsilon) - margin_q_B
        moved_B = angle_B.clamp(config.epsilon, math.pi - config.epsilon).cos()
        return config.scale * (moved_B - (config.margin + margin_q_B))


def clipped_norm(norm_B: Tensor) -> Tensor:
    """a clipped to [0.001, 100], without gradient, (B,)."""
    return norm_B.detach().clamp(_SMALLEST_NORM, _LARGEST_NORM)
