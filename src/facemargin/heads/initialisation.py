"""Where the class centres start. Shapes: C classes, D feature values.

The loss ignores a centre's norm, but the gradient falls as 1/‖W_j‖, so the effective learning rate goes as 1/‖W_j‖²:
about twenty times smaller for "unit" than for "normal" at D = 512.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.registry import unknown_name


def _unit(c: int, d: int, generator: torch.Generator | None) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(c, d, generator=generator))


def _normal(c: int, d: int, generator: torch.Generator | None) -> Tensor:
    return 0.01 * torch.randn(c, d, generator=generator)


_INITIALISATIONS: dict[str, Callable[[int, int, torch.Generator | None], Tensor]] = {"unit": _unit, "normal": _normal}


def initial_centres(
    name: str, num_classes: int, embedding_size: int, generator: torch.Generator | None = None
) -> Tensor:
    """float32 centres, (C, D). "unit": uniform directions of norm 1 (AdaFace's and MagFace's code); "normal":
    normal(0, .01), norm ≈ .01·√D (InsightFace's and most others). ConfigError for another name."""
    if name not in _INITIALISATIONS:
        raise ConfigError(unknown_name("centre_initialisation", name, _INITIALISATIONS))
    return _INITIALISATIONS[name](num_classes, embedding_size, generator)
