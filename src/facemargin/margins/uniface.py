"""UniFace (Zhou et al., ICCV 2023): a unified threshold between own and other classes. Shapes: B samples."""

import math
from dataclasses import dataclass

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

# The authors' code starts the bias at log(10·C).
_START = 10


@dataclass(frozen=True, kw_only=True)
class UniFaceConfig(ConstantScaleConfig):
    """UniFace's settings."""

    within_pi = ("margin",)

    margin: float = 0.4
    """m, subtracted from the own class's cosine."""
    negative_weight: float = 1.0
    """λ, the weight of the other classes: below 1 it balances the many others with the one own class."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_filtering_of_binary("uniface", self)
        if not 0 < self.negative_weight < math.inf:
            raise ConfigError(f"negative_weight is {self.negative_weight}, expected a positive number")


@register_margin("uniface")
class UniFace(ConstantScaleMargin):
    """The unified cross-entropy, with s times the threshold between own and other classes as a bias b that is learnt:

        log(1 + exp(−s·(c_y − m) + b)) + λ·Σ_{j≠y} log(1 + exp(s·c_j − b))

    The bias starts at log(10·C), C the classes of a step. The paper's other way to balance, to sample a share r of the
    negatives, is the head's `sample_rate`.
    """

    Config = UniFaceConfig
    config: UniFaceConfig
    binary = True

    def __init__(self, config: UniFaceConfig) -> None:
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(()))

    @torch.no_grad()
    def prepare(self, classes: float) -> None:
        self.bias.fill_(math.log(_START * classes))

    def binary_negatives(self, norm_B: Tensor) -> BinaryNegatives:
        return BinaryNegatives((-self.bias.to(norm_B.dtype)).expand(len(norm_B)))

    def target_logit(self, terms: SoftmaxTerms, norm_B: Tensor, labels_B: Tensor) -> Tensor:
        return self.config.scale * (terms.target_cosine_B - self.config.margin) - self.bias.to(norm_B.dtype)

    def losses(self, terms: SoftmaxTerms, target_logit_B: Tensor) -> Tensor:
        assert isinstance(terms, BinaryTerms)
        own_B = torch.logaddexp(torch.zeros_like(target_logit_B), -target_logit_B)
        return own_B + self.config.negative_weight * terms.negative_sum
