"""Exponential running mean and standard deviation of a per-sample quantity. Shapes: B samples."""

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError


def check_rate(t_alpha: float) -> None:
    """Raise ConfigError unless `t_alpha`, the rate of a running mean, is in (0, 1]."""
    if not 0 < t_alpha <= 1:
        raise ConfigError(f"t_alpha is {t_alpha}, expected a number in (0, 1]")


class RunningStatistics(nn.Module):
    """μ ← α·mean + (1−α)·μ and σ ← α·std + (1−α)·σ, std with Bessel's correction.

    These are steps 2 and 4 of FunFace, and AdaFace's batch statistics. μ and σ are buffers, so that they are saved and
    loaded with the head. A batch of one sample has no standard deviation and does not change σ. An empty or non-finite
    batch changes nothing.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, alpha: float, mean: float, std: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    @torch.no_grad()
    def update(self, values_B: Tensor) -> None:
        """Update both with one batch of values, (B,)."""
        if values_B.numel() == 0:
            return
        values_B = values_B.to(self.mean.dtype)
        self._advance(self.mean, values_B.mean())
        if values_B.numel() > 1:
            self._advance(self.std, values_B.std())

    def _advance(self, running: Tensor, batch: Tensor) -> None:
        advanced = self.alpha * batch + (1 - self.alpha) * running
        running.copy_(torch.where(batch.isfinite(), advanced, running))

    def standardize(self, values_B: Tensor, epsilon: float) -> Tensor:
        """(value − μ) / (σ + ε), (B,)."""
        return (values_B - self.mean) / (self.std + epsilon)
