"""BroadFace (Kim, Park and Shin, ECCV 2020, arXiv 2008.06674): the class centres also learn from a queue of earlier
samples.

The network learns from the B samples of the batch, the centres from these and the Q of the queue:

    ∂L/∂x_i = (1/B)·∂ℓ_i/∂x_i        ∂L/∂W = 1/(B + Q)·Σ_{batch and queue} ∂ℓ_i/∂W

The network has moved on since it made a feature of the queue. Its movement is estimated by that of the feature's class
centre: with f and W⁻ the feature and the centre of its class when they were stored, and W the centre now,

    f* = f + ‖f‖/‖W⁻‖·(W − W⁻) = ‖f‖·(f/‖f‖ − W⁻/‖W⁻‖ + W/‖W⁻‖)

so that one vector a sample, f/‖f‖ − W⁻/‖W⁻‖, and two numbers, ‖f‖ and ‖W⁻‖, are all that has to be kept.

Shapes: S places of the queue, Q of them filled, B labelled samples of the global batch, D feature values.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from facemargin.errors import ConfigError
from facemargin.full_precision import Function
from facemargin.heads.memory import Memory, MemoryConfig, Samples
from facemargin.heads.normalization import nonzero, row_norms
from facemargin.transfer import on_device


@dataclass(frozen=True, kw_only=True)
class BroadFaceConfig(MemoryConfig):
    """A queue of earlier samples, which the class centres learn from, too."""

    queue_size: int = 32_000
    """How many samples the queue holds; it loses the oldest."""
    compensate: bool = True
    """Move a feature of the queue as the centre of its class has moved since it was stored."""

    def __post_init__(self) -> None:
        if not isinstance(self.queue_size, int) or self.queue_size < 1:
            raise ConfigError(f"queue_size is {self.queue_size!r}, expected a whole number of samples, at least 1")

    def create(self, classes: int, embedding_size: int) -> "BroadFace":
        return BroadFace(self, embedding_size)


class BroadFace(Memory):
    """The queue, the same on every process: a ring of S places."""

    on_host = ("labels", "stored")
    offsets: Tensor
    norms: Tensor
    center_norms: Tensor
    labels: Tensor
    stored: Tensor

    def __init__(self, config: BroadFaceConfig, embedding_size: int) -> None:
        super().__init__()
        self.config = config
        size = config.queue_size
        self.register_buffer("offsets", torch.zeros(size, embedding_size))  # f/‖f‖ − W⁻/‖W⁻‖
        self.register_buffer("norms", torch.zeros(size))  # ‖f‖; 0 for a feature that was not finite
        self.register_buffer("center_norms", torch.ones(size))  # ‖W⁻‖
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("stored", torch.tensor(0))  # how many samples have been stored so far

    @property
    def needs_centers(self) -> bool:  # type: ignore[override]
        return self.config.compensate

    @property
    def classes(self) -> Tensor:
        return self.labels[: min(int(self.stored), len(self.labels))]

    def samples(self, centers_QD: Tensor | None) -> Samples:
        filled = len(self.classes)
        x_QD, norm_Q = self.offsets[:filled], self.norms[:filled]
        if centers_QD is not None:
            x_QD = torch.addcdiv(x_QD.to(centers_QD.dtype), centers_QD, self.center_norms[:filled, None])
        # A feature of zeros moves no centre.
        length_Q = row_norms(x_QD).where(norm_Q > 0, 0)
        x_QD = (x_QD / nonzero(length_Q)[:, None]).where(length_Q[:, None] > 0, 0)
        return Samples(x_QD, norm_Q * length_Q, self.classes)

    @torch.no_grad()
    def remember(self, batch: Samples, first_class: int, centers_BD: Tensor | None) -> None:
        x_BD, norm_B, y_B = (values[-len(self.labels) :] for values in batch)
        place_B = (int(self.stored) + torch.arange(len(y_B))) % len(self.labels)
        self.labels[place_B] = y_B
        self.stored += len(y_B)
        place_B = on_device(place_B, None, x_BD.device)
        if centers_BD is not None:
            centers_BD = centers_BD[-len(self.labels) :]
            center_norm_B = nonzero(row_norms(centers_BD))
            x_BD = x_BD - centers_BD / center_norm_B[:, None]
            self.center_norms.index_copy_(0, place_B, center_norm_B.to(self.center_norms.dtype))
        finite_B = x_BD.isfinite().all(1) & norm_B.isfinite()
        self.offsets.index_copy_(0, place_B, x_BD.where(finite_B[:, None], 0).to(self.offsets.dtype))
        self.norms.index_copy_(0, place_B, norm_B.where(finite_B, 0).to(self.norms.dtype))

    def extra_repr(self) -> str:
        return f"queue_size={len(self.labels)}, compensate={self.config.compensate}"


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """`values`, whose gradient is multiplied by `factor`."""
    scaled: Tensor = _ScaleGradient.apply(values, factor)
    return scaled


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
