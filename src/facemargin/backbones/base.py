"""What every backbone shares: the call from images to features, its checks, and its precision.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

import math
from abc import ABC, abstractmethod
from numbers import Integral

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError

IMAGE_CHANNELS = 3
TOTAL_STRIDE = 16
"""All backbones halve the image four times."""


class Backbone(nn.Module, ABC):
    """A network from aligned faces to features, `images_BCHW` in [-1, 1] → `features_BD`, not normalised to length 1.

    A subclass splits the work in two: `feature_map`, the convolutions, which run in the autocast type where autocast is
    on; and `embed`, the last linear layer and its batch norm, which always run in the type of the weights (float32), so
    that features and their norms, which the losses read as image quality, are not rounded to 8 bits.

    Attributes:
        embedding_size: D, the length of a feature.
        input_size: height and width of the images in pixels.
        in_channels: channels of the images; more than 3 if other maps are stacked onto the colours.
    """

    def __init__(self, embedding_size: int, input_size: int, in_channels: int = IMAGE_CHANNELS) -> None:
        """Raises ConfigError if a size is too small."""
        super().__init__()
        for name, size in (
            ("embedding_size", embedding_size),
            ("input_size", input_size),
            ("in_channels", in_channels),
        ):
            if not isinstance(size, Integral) or isinstance(size, bool):
                raise ConfigError(f"{name} is {size!r}, expected a whole number")
        if embedding_size < 1:
            raise ConfigError(f"embedding_size is {embedding_size}; it must be at least 1 (512 is usual)")
        if input_size < TOTAL_STRIDE:
            raise ConfigError(f"input_size is {input_size} pixels; it must be at least {TOTAL_STRIDE} (112 is usual)")
        if in_channels < 1:
            raise ConfigError(f"in_channels is {in_channels}; it must be at least 1 (3 is usual)")
        self.embedding_size = embedding_size
        self.input_size = input_size
        self.in_channels = in_channels

    @property
    def map_size(self) -> int:
        """Height and width of the feature map: `input_size` halved four times, each time rounded up."""
        return math.ceil(self.input_size / TOTAL_STRIDE)

    @abstractmethod
    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """The last residual stage's output, (B, channels, map_size, map_size)."""

    @abstractmethod
    def embed(self, map_BCHW: Tensor) -> Tensor:
        """The features (B, D) of a feature map given in the type of the weights."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Features (B, D) in the type of the weights; raises ConfigError if the images do not fit the network."""
        self._check(images_BCHW)
        map_BCHW = self.feature_map(images_BCHW)
        with torch.autocast(map_BCHW.device.type, enabled=False):
            return self.embed(map_BCHW.to(next(self.parameters()).dtype))

    def _check(self, images_BCHW: Tensor) -> None:
        channels, size = self.in_channels, self.input_size
        if images_BCHW.ndim != 4 or images_BCHW.shape[1:] != (channels, size, size):
            raise ConfigError(
                f"images have shape {tuple(images_BCHW.shape)}, this backbone takes (batch, {channels}, {size}, "
                f"{size}); resize the images, or create the backbone with another input_size"
            )
        if not images_BCHW.is_floating_point():
            raise ConfigError(
                f"images are {images_BCHW.dtype}; give floats in [-1, 1], (v - 127.5) / 127.5 for a value v of 0 to 255"
            )


def initialize_kaiming(network: nn.Module) -> None:
    """Draws convolution and linear weights from N(0, 2 / fan_out) and zeroes their biases (He et al. 2015, ReLU)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
