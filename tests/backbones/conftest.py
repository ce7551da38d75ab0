"""One small specimen of every backbone family, at a size that runs in milliseconds.

Shape suffixes, here and in this folder's tests: B images, C channels, H height, W width, D embedding size.
"""

import copy
import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from facemargin.backbones import Backbone, create_backbone

INPUT_SIZE = 32
FAMILIES = ["ir_18", "ir_se_18", "iresnet18", "mobilefacenet", "small_resnet"]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def noise(batch: int, size: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, size, size, generator=generator) * 2 - 1


def set_running_statistics(backbone: Backbone) -> None:
    """Makes the running statistics those of one batch; with the initial ones, maps grow 1000-fold in eval mode."""
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        backbone.train()(noise(16, backbone.input_size, seed=0))
    for norm in norms:
        norm.momentum = 0.1


def create_specimen(name: str, seed: int = 0, **options) -> Backbone:
    """A 32-pixel backbone with 16-dimensional features."""
    torch.manual_seed(seed)
    backbone = create_backbone(name, embedding_size=16, input_size=INPUT_SIZE, **options)
    set_running_statistics(backbone)
    return backbone


@pytest.fixture
def make_backbone() -> Callable[..., Backbone]:
    """A copy, the test's own, of the specimen of that name, seed and options, which takes longer to create."""

    def make(name: str, seed: int = 0, **options) -> Backbone:
        return copy.deepcopy(_created_once(name, seed, **options))

    return make


_created_once = functools.lru_cache(maxsize=12)(create_specimen)


@pytest.fixture
def make_images() -> Callable[..., Tensor]:
    """Uniform noise in [-1, 1], (batch, 3, size, size)."""

    def make(batch: int, size: int = INPUT_SIZE, seed: int = 1) -> Tensor:
        return noise(batch, size, seed)

    return make
