"""LH2Face (Xie et al., arXiv 2506.23555): softmax over von Mises–Fisher similarities, concentration = feature norm.

Shapes: B samples, D feature values, P distinct classes of the batch.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.full_precision import product
from facemargin.margins.base import Margin, MarginConfig, SoftmaxTerms, register_margin
from facemargin.margins.statistics import RunningStatistics, check_rate
from facemargin.margins.vmf import log_vmf_normalizer

# A mean norm below it counts as 1: the density is as good as uniform there, and terms are divided by it.
_SMALLEST_MEAN_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class LH2FaceConfig(MarginConfig):
    """LH2Face's settings; the paper adds the proxy terms up as they are."""

    margin: float = 0.35
    """The factor on the mean norm (.35 in the paper)."""
    dimension: int = 256
    """n of the von Mises-Fisher density, which need not be the embedding's size (256 with 512 in the paper)."""
    lambda_pps: float = 1.0
    """Weight of the proxy term L_pps."""
    lambda_pns: float = 1.0
    """Weight of the proxy term L_pns."""
    lambda_pp: float = 1.0
    """Weight of the proxy term L_pp."""
    t_alpha: float = 1.0
    """Rate of the running mean norm; 1, what the text says, means "this batch alone"."""
    initial_norm_mean: float = 20.0
    """The mean norm until the first training batch."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self.t_alpha)
        if self.dimension < 2:
            raise ConfigError(f"dimension is {self.dimension}, expected 2 or more: the sphere's surrounding space")


@register_margin("lh2face")
class LH2Face(Margin):
    """Target logit κ·c_y − m, negative logits κ·c_j, plus the proxy terms L_pps, L_pns and L_pp.

    From the paper's public text: the similarity is the log-density log c_n(κ) + κ·c_j with κ the feature norm, which
    passes gradient (log c_n(κ) is the same for every class and cancels in the softmax); the Uncertainty-Aware Margin
    m = 0.35·μ_a, μ_a the mean norm; L_FR = L_vMF + L_pps + L_pns + L_pp, terms between proxies (the class centres) and
    positive samples, negative samples and one another. The text does not give the form of the three terms.

    This project's: that form, see `proxy_positive_losses`, `proxy_negative_losses` and `proxy_proxy_loss`; and that μ_a
    is a constant, of at least 1 where it divides, through which no gradient flows. With the gradient of the batch's
    mean norm a network that ends in a batch norm was seen to shorten most features and lengthen a few, and hardly to
    learn (docs/losses.md). Without it the norms of a network that does *not* bound them grow without end, as every
    sample with c_y > c_j gains by a longer feature: give this loss a backbone that ends in a batch norm, as all of this
    package do.
    """

    Config = LH2FaceConfig
    config: LH2FaceConfig
    needs_centers = True

    def __init__(self, config: LH2FaceConfig) -> None:
        super().__init__(config)
        self.norm_statistics = RunningStatistics(config.t_alpha, config.initial_norm_mean, std=0.0)

    def scale(self, norm_B: Tensor) -> Tensor:
        """κ, (B,): the feature norm, with gradient."""
        return norm_B

    def observe(self, terms: SoftmaxTerms, norm_B: Tensor) -> None:
        self.norm_statistics.update(norm_B)

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return norm_B * terms.target_cosine_B - self.config.margin * self.norm_statistics.mean

    def margin_scaler(self, terms: SoftmaxTerms, norm_B: Tensor) -> Tensor:
        """m/κ, (B,): the margin as a cosine, since κ·c_y − m = κ·(c_y − m/κ). It is `margin` at the mean norm and
        larger for shorter features; a norm under 0.001 counts as 0.001."""
        return self.config.margin * self.norm_statistics.mean / norm_B.clamp_min(1e-3)

    def extra_losses(
        self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor, centers_BD: Tensor | None = None
    ) -> dict[str, Tensor]:
        assert centers_BD is not None  # needs_centers
        config = self.config
        mean_norm = self.norm_statistics.mean.clamp_min(_SMALLEST_MEAN_NORM)
        positive_B = proxy_positive_losses(terms.target_cosine_B, norm_B, config.dimension)
        negative_B = proxy_negative_losses(terms.negative_lse_B, norm_B, mean_norm, config.margin)
        samples = max(len(norm_B), 1)
        return {
            "pps": config.lambda_pps * positive_B.sum() / samples,
            "pns": config.lambda_pns * negative_B.sum() / samples,
            "pp": config.lambda_pp * proxy_proxy_loss(centers_BD, labels_B, mean_norm),
        }


def proxy_positive_losses(target_cosine_B: Tensor, norm_B: Tensor, dimension: int) -> Tensor:
    """−(log c_n(κ) + κ·c_y)/n, (B,): the density's negative log-likelihood per dimension.

    Its slope in κ, (A_n(κ) − c_y)/n, vanishes where the length of the density's mean equals the cosine: alone, it would
    make κ a calibrated concentration. Never above 2/n, it is a nudge beside the softmax; lambda_pps = n undoes the 1/n.
    """
    return -(log_vmf_normalizer(norm_B, dimension) + norm_B * target_cosine_B) / dimension


def proxy_negative_losses(negative_lse_B: Tensor, norm_B: Tensor, mean_norm: Tensor, margin: float) -> Tensor:
    """softplus((log Σ_{j≠y} exp(κ·c_j) − κ·(1 − margin))/μ_a), (B,); 0 without negatives.

    The softplus is of how far the nearest other centre lies above the cosine 1 − margin, below which a sample on its
    own centre clears the margin; the sum over C classes adds at most log(C)/μ_a to it. κ·(1 − margin) passes no
    gradient: else every sample, wherever it lies, could lower the term by a longer feature.
    """
    excess_B = (negative_lse_B - norm_B.detach() * (1 - margin)) / mean_norm
    return torch.logaddexp(torch.zeros_like(excess_B), excess_B)


def proxy_proxy_loss(centers_BD: Tensor, labels_B: Tensor, mean_norm: Tensor) -> Tensor:
    """Mean over the batch's P classes of log(mean_{q≠p} exp(μ_a·cos(μ_p, μ_q)))/μ_a, in [−1, 1]; 0 for one class.

    A soft maximum of the cosine to the other classes present: at μ_a, the temperature of the softmax, a pair of centres
    repels as strongly as a sample of the one would repel the other centre. The mean instead of the sum changes no
    gradient and makes the value independent of how many classes a batch holds.
    """
    classes_P, class_B = labels_B.unique(return_inverse=True)
    others = len(classes_P) - 1
    if others < 1:
        return centers_BD.new_zeros(())
    row_P = class_B.new_empty(len(classes_P)).scatter_(0, class_B, torch.arange(len(class_B), device=class_B.device))
    centers_PD = centers_BD[row_P]
    logits_PP = product(mean_norm * centers_PD, centers_PD).fill_diagonal_(-torch.inf)
    return ((logits_PP.logsumexp(1) - math.log(others)) / mean_norm).mean()
