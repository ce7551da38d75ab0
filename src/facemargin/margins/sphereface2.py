"""SphereFace2 (Wen et al., ICLR 2022, arXiv 2108.01513): every class is a binary decision. Shapes: B samples."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError
from facemargin.margins.base import (
    BinaryNegatives,
    BinaryTerms,
    ConstantScaleConfig,
    ConstantScaleMargin,
    SoftmaxTerms,
    refuse_filtering_of_binary,
    register_margin,
)


@dataclass(frozen=True, kw_only=True)
class SphereFace2Config(ConstantScaleConfig):
    """SphereFace2's settings; the defaults are those of the authors' OpenSphere."""

    within_pi = ("margin",)

    scale: float = 40.0
    """r, the factor on every similarity."""
    margin: float = 0.4
    """m, subtracted from the similarity to the own class and added to that to every other one."""
    exponent: float = 3.0
    """t of the similarity g(c) = 2·((c + 1)/2)^t − 1, which is the cosine for 1."""
    balance: float = 0.7
    """λ, the weight of the own class's decision; 1 − λ is that of all others'."""
    loss_weight: float = 50.0
    """The factor on the whole loss; 1 is the paper's equation."""
    gradient: Literal["true", "opensphere"] = "true"
    """"true" differentiates through g. "opensphere" computes g outside autograd, as the authors' code does, so that
    d(logit)/d(cosine) = r."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_filtering_of_binary("sphereface2", self)
        if not 0 < self.balance < 1:
            raise ConfigError(f"balance is {self.balance}, expected a number between 0 and 1")
        if not 1 <= self.exponent < math.inf:
            raise ConfigError(f"exponent is {self.exponent}, expected at least 1: below, the slope at −1 is infinite")
        if not 0 < self.loss_weight < math.inf:
            raise ConfigError(f"loss_weight is {self.loss_weight}, expected a positive number")


@register_margin("sphereface2")
class SphereFace2(ConstantScaleMargin):
    """The loss with the margin of type C, w the loss weight and b a bias that is learnt:

        (w/r)·(λ·log(1 + exp(−r·(g(c_y) − m) − b)) + (1 − λ)·Σ_{j≠y} log(1 + exp(r·(g(c_j) + m) + b)))

    The bias starts where, with all cosines 0, the own class's decision and the others' together pull equally. Types A
    and M of the paper's appendix, whose margins are of the angle, are not here.
    """

    Config = SphereFace2Config
    config: SphereFace2Config
    center_initialization = "unit"
    binary = True

    def __init__(self, config: SphereFace2Config) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def prepare(self, classes: float) -> None:
        """b of λ·σ(−a_y − b) = (1 − λ)·(C − 1)·σ(a_j + b), with a_y and a_j the logits without bias of cosine 0: a
        quadratic in exp(a_j + b), which is k·u² + (1 − z)·u = z with z = λ/((1 − λ)(C − 1)) and k = exp(a_y − a_j)."""
        config = self.config
        if classes <= 1:
            return
        similarity = 2 * 0.5**config.exponent - 1
        other = config.scale * (similarity + config.margin)
        z = config.balance / ((1 - config.balance) * (classes - 1))
        k = math.exp(-2 * config.scale * config.margin)
        root = math.sqrt((1 - z) ** 2 + 4 * z * k)
        # The same root twice, each where it does not cancel.
        log_u = math.log(2 * z / (1 - z + root)) if z <= 1 else math.log((z - 1 + root) / 2) - math.log(k)
        self.bias.fill_(log_u - other)

    def binary_negatives(self, norm_B: Tensor) -> BinaryNegatives:
        config = self.config
        offset_B = (config.scale * config.margin + self.bias.to(norm_B.dtype)).expand(len(norm_B))
        return BinaryNegatives(offset_B, config.exponent, config.gradient == "opensphere")

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        config = self.config
        similarity_B = self.binary_negatives(norm_B).adjusted(terms.target_cosine_B)
        return config.scale * (similarity_B - config.margin) + self.bias.to(norm_B.dtype)

    def losses(self, terms: SoftmaxTerms, target_logit_B: Tensor) -> Tensor:
        assert isinstance(terms, BinaryTerms)
        config = self.config
        own_B = torch.logaddexp(torch.zeros_like(target_logit_B), -target_logit_B)
        both_B = config.balance * own_B + (1 - config.balance) * terms.negative_sum
        return config.loss_weight / config.scale * both_B
