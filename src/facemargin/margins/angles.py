"""Adding an angle to a cosine, with gradients that stay finite at ±1. Shapes: B samples."""

import math

import torch
from torch import Tensor

# Below this squared sine (0.06 degrees from a pole) the sine's derivative, −c/sin θ, is limited, because it grows
# without bound.
_SMALLEST_SQUARED_SINE = 1e-6


def add_angle(cosine_B: Tensor, angle_B: Tensor | float) -> Tensor:
    """cos(θ + angle) = c·cos(angle) − √(1−c²)·sin(angle), (B,), differentiable in both."""
    sine_B = (1 - cosine_B.square()).clamp_min(_SMALLEST_SQUARED_SINE).sqrt()
    if isinstance(angle_B, Tensor):
        return cosine_B * angle_B.cos() - sine_B * angle_B.sin()
    return cosine_B * math.cos(angle_B) - sine_B * math.sin(angle_B)


def add_angle_easy(cosine_B: Tensor, angle_B: Tensor | float) -> Tensor:
    """cos(θ + angle) where the cosine is positive, the cosine itself elsewhere (the "easy margin"), (B,)."""
    return torch.where(cosine_B > 0, add_angle(cosine_B, angle_B), cosine_B)


def add_angle_continued(cosine_B: Tensor, angle_B: Tensor | float) -> Tensor:
    """cos(θ + angle) up to θ = π − angle, beyond it the line c − angle·sin(angle), (B,).

    Past π the cosine would rise again and reward a larger θ; ArcFace's first code continues it like this.
    """
    if not isinstance(angle_B, Tensor):
        angle_B = cosine_B.new_full((), angle_B)
    continued_B = cosine_B - angle_B * angle_B.sin()
    return torch.where(cosine_B > (math.pi - angle_B).cos(), add_angle(cosine_B, angle_B), continued_B)


def clipped_angle(cosine_B: Tensor, epsilon: float) -> Tensor:
    """θ = arccos of the cosine clipped to ±(1−ε), (B,); the clip has zero gradient where it acts."""
    return torch.acos(cosine_B.clamp(-1 + epsilon, 1 - epsilon))


def straight_through(value_B: Tensor, cosine_B: Tensor) -> Tensor:
    """Return `value_B` with the gradient of `cosine_B`, so that d(value)/d(cosine) is 1. InsightFace and CVLface
    compute the margin outside autograd, which has this effect."""
    return cosine_B + (value_B - cosine_B).detach()
