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
from facemargin.transfer import on_device

# A smaller mean norm counts as 1. The density is almost uniform there, and some terms are divided by the mean norm.
_SMALLEST_MEAN_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class LH2FaceConfig(MarginConfig):
    """LH2Face's settings. The paper adds the proxy terms without weights, which is a weight of 1."""

    within_pi = ("margin",)

    margin: float = 0.35
    """The factor on the mean norm (.35 in the paper)."""
    dimension: int = 256
    """n, the dimension of the von Mises-Fisher density. It may differ from the embedding size (the paper has 256 and
    512)."""
    lambda_pps: float = 1.0
    """Weight of the proxy term L_pps."""
    lambda_pns: float = 1.0
    """Weight of the proxy term L_pns."""
    lambda_pp: float = 1.0
    """Weight of the proxy term L_pp."""
    t_alpha: float = 1.0
    """Rate of the running mean norm. 1, as in the paper's text, uses the mean of the current batch only."""
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

    Taken from the paper's public text: the similarity is the log-density log c_n(κ) + κ·c_j with κ the feature norm,
    which passes gradient (log c_n(κ) is the same for every class and cancels in the softmax); the Uncertainty-Aware
    Margin m = 0.35·μ_a, μ_a the mean norm; L_FR = L_vMF + L_pps + L_pns + L_pp, terms between proxies (the class
    centres) and positive samples, negative samples and one another. The text does not give the form of the three terms.

    Chosen by this project: the form of these terms, see `proxy_positive_losses`, `proxy_negative_losses` and
    `proxy_proxy_loss`; and that μ_a is a constant through which no gradient flows, at least 1 where it is a divisor.
    When the gradient of the batch's mean norm was used, a network that ends in a batch norm shortened most features,
    lengthened a few, and hardly learned (docs/losses.md). Without that gradient, the norms of a network that does *not*
    bound them grow without limit, because every sample with c_y > c_j gains by a longer feature. So use this loss with
    a backbone that ends in a batch norm, as all backbones of this package do.
    """

    Config = LH2FaceConfig
    config: LH2FaceConfig
    needs_centers = True
    takes_labels_on_host = True

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
    make κ a calibrated concentration. Never above 2/n, it is small beside the softmax; lambda_pps = n removes the
    division by n.
    """
    return -(log_vmf_normalizer(norm_B, dimension) + norm_B * target_cosine_B) / dimension


def proxy_negative_losses(negative_lse_B: Tensor, norm_B: Tensor, mean_norm: Tensor, margin: float) -> Tensor:
    """softplus((log Σ_{j≠y} exp(κ·c_j) − κ·(1 − margin))/μ_a), (B,); 0 without negatives.

    The softplus measures how far the cosine of the nearest other centre exceeds 1 − margin. Below that value, a sample
    at its own centre meets the margin. The sum over C classes adds at most log(C)/μ_a. κ·(1 − margin) passes no
    gradient; otherwise every sample could lower this term by a longer feature alone.
    """
    excess_B = (negative_lse_B - norm_B.detach() * (1 - margin)) / mean_norm
    return torch.logaddexp(torch.zeros_like(excess_B), excess_B)


def proxy_proxy_loss(centers_BD: Tensor, labels_B: Tensor, mean_norm: Tensor) -> Tensor:
    """Mean over the batch's P classes of log(mean_{q≠p} exp(μ_a·cos(μ_p, μ_q)))/μ_a, in [−1, 1]; 0 for one class.

    A soft maximum of the cosine to the other classes of the batch. With μ_a, the inverse temperature of the softmax,
    two centres repel each other as strongly as a sample of one class repels the other centre. Taking the mean instead
    of the sum changes no gradient and makes the value independent of the number of classes in a batch.

    With the labels on the CPU, nothing waits for the device of the centres.
    """
    classes_P, class_B = labels_B.unique(return_inverse=True)
    others = len(classes_P) - 1
    if others < 1:
        return centers_BD.new_zeros(())
    row_P = class_B.new_empty(len(classes_P)).scatter_(0, class_B, torch.arange(len(class_B), device=class_B.device))
    centers_PD = centers_BD[on_device(row_P, None, centers_BD.device)]
    logits_PP = product(mean_norm * centers_PD, centers_PD).fill_diagonal_(-torch.inf)
    return ((logits_PP.logsumexp(1) - math.log(others)) / mean_norm).mean()
