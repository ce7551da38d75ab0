"""`facemargin` with a network of convolutions and linear layers alone, in which samples do not influence each other."""

import sys

from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone
from facemargin.backbones.registry import register_backbone
from facemargin.cli import main


@register_backbone("plain_network")
class PlainNetwork(Backbone):
    def __init__(self, embedding_size: int = 512, in_channels: int = IMAGE_CHANNELS, *, input_size: int = 16) -> None:
        super().__init__(embedding_size, input_size, in_channels)
        self.convolution = nn.Sequential(nn.Conv2d(in_channels, 4, 3, stride=2, padding=1), nn.PReLU(4))
        self.linear = nn.Sequential(nn.Flatten(), nn.Linear(4 * (input_size // 2) ** 2, embedding_size))

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        return self.convolution(images_BCHW)

    def embed(self, map_BCHW: Tensor) -> Tensor:
        return self.linear(map_BCHW)


if __name__ == "__main__":
    sys.exit(main())
