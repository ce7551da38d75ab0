"""VPL, Variational Prototype Learning (Deng et al., CVPR 2021): a sample is compared with centres into which the last
feature of each class is injected.

    w_j = (1 − λ_j)·W_j/‖W_j‖ + λ_j·M_j        λ_j = λ if class j was seen in the last Δt passes, else 0

M_j is the unit feature of the sample of class j that was seen last. No gradient flows through it. The cosine to class j
is that to w_j.

Shapes: B labelled samples of the global batch, C classes of this process, D feature values, K classes of the batch.
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
class VPLConfig(MemoryConfig):
    """The last feature of each class, injected into the class's centre."""

    share: float = 0.15
    """λ, the feature's share of the centre."""
    lasts: int = 200
    """Δt, for how many passes after it a feature is injected: the network changes, and the feature becomes outdated."""
    start: int = 8000
    """How many passes come before the first injection: early in training features change too fast."""

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ConfigError(f"share is {self.share}, expected a number between 0 and 1")
        for name, smallest in (("lasts", 1), ("start", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < smallest:
                raise ConfigError(f"{name} is {value!r}, expected a whole number of passes, at least {smallest}")

    def create(self, classes: int, embedding_size: int) -> "VPL":
        return VPL(self, classes, embedding_size)


class VPL(Memory):
    """The last feature of every class of this process."""

    on_host = ("passes",)
    class_rows = ("features", "seen")
    features: Tensor
    seen: Tensor
    passes: Tensor

    def __init__(self, config: VPLConfig, classes: int, embedding_size: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("features", torch.zeros(classes, embedding_size))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.int64))  # in which pass, 0 for never
        self.register_buffer("passes", torch.tensor(0))

    def injected(self, w_CD: Tensor) -> Tensor:
        now = int(self.passes) + 1
        if now <= self.config.start:
            return w_CD
        recent_C = (self.seen > 0) & (self.seen >= now - self.config.lasts)
        injected_CD: Tensor = _Inject.apply(
            w_CD, self.features.to(w_CD.dtype), recent_C.to(w_CD.dtype) * self.config.share
        )
        return injected_CD

    @property
    def classes(self) -> Tensor:
        return torch.empty(0, dtype=torch.int64)

    @torch.no_grad()
    def remember(self, batch: Samples, first_class: int, centers_BD: Tensor | None) -> None:
        self.passes += 1
        last_row = {label - first_class: row for row, label in enumerate(batch.y_Q.tolist())}
        own = [(position, row) for position, row in last_row.items() if 0 <= position < len(self.seen)]
        index_K2 = on_device(torch.tensor(own, dtype=torch.int64).view(-1, 2), None, self.seen.device)
        class_K, row_K = index_K2.unbind(1)
        new_KD = batch.x_QD.index_select(0, row_K).to(self.features.dtype)
        finite_K = new_KD.isfinite().all(1)
        kept_KD, seen_K = self.features.index_select(0, class_K), self.seen.index_select(0, class_K)
        self.features.index_copy_(0, class_K, new_KD.where(finite_K[:, None], kept_KD))
        self.seen.index_copy_(0, class_K, seen_K.masked_fill(finite_K, int(self.passes)))

    def extra_repr(self) -> str:
        return f"share={self.config.share}, lasts={self.config.lasts}, start={self.config.start}"


class _Inject(Function):
    """(1 − share)·w/‖w‖ + share·feature, row by row. Written by hand, because autograd would keep three more matrices
    of the size of all centres."""

    @staticmethod
    def forward(ctx: Any, w_CD: Tensor, features_CD: Tensor, share_C: Tensor) -> Tensor:
        inverse_norm_C = nonzero(row_norms(w_CD)).reciprocal_()
        factor_C1 = ((1 - share_C) * inverse_norm_C)[:, None]
        ctx.save_for_backward(w_CD, inverse_norm_C, factor_C1)
        return torch.mul(w_CD, factor_C1).addcmul_(features_CD, share_C[:, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient_CD: Tensor) -> tuple[Tensor, None, None]:
        w_CD, inverse_norm_C, factor_C1 = ctx.saved_tensors
        # The part along the centre does not change its direction.
        along_C = torch.linalg.vecdot(gradient_CD, w_CD) * inverse_norm_C.square()
        return torch.addcmul(gradient_CD, w_CD, along_C[:, None], value=-1).mul_(factor_C1), None, None
