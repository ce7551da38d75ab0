"""MobileNet (Howard et al. 2017, "v1") with PReLU, as SFace of OpenCV's model zoo has it (Zhong et al. 2021).

| `blocks` | what                    | channels | stride |
|----------|-------------------------|----------|--------|
| `stem`   | 3×3 convolution         | 32       | 1      |
| 0        | depthwise 3×3, then 1×1 | 64       | 1      |
| 1        |                         | 128      | 2      |
| 2        |                         | 128      | 1      |
| 3        |                         | 256      | 2      |
| 4        |                         | 256      | 1      |
| 5        |                         | 512      | 2      |
| 6 to 10  |                         | 512      | 1      |
| 11       |                         | 1024     | 2      |
| 12       |                         | 1024     | 1      |

Each convolution is followed by a batch norm and a PReLU. Then `norm`, a linear layer of the whole map, and a batch
norm. MobileNet itself has a stride of 2 in its stem and average pooling in place of the linear layer: a face of 112
pixels, whose parts are always in the same place, would lose too much.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone, initialize_kaiming
from facemargin.backbones.registry import register_backbone

STEM_CHANNELS = 32
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Channels and stride of each block."""
LAST_NORM_EPS = 2e-5
"""ε of the batch norms around the linear layer (a recipe's `batch_norm_eps` is that of all the others)."""


def conv_block(
    in_channels: int, channels: int, eps: float, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, PReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels, eps=eps),
        nn.PReLU(channels),
    )


@register_backbone("mobilenet_v1")
class MobileNet(Backbone):
    """The network of this module's table."""

    def __init__(
        self,
        embedding_size: int = 128,
        in_channels: int = IMAGE_CHANNELS,
        *,
        input_size: int = 112,
        dropout: float = 0.0,
        batch_norm_eps: float = 1e-3,
    ) -> None:
        super().__init__(embedding_size, input_size, in_channels)
        self.stem = conv_block(in_channels, STEM_CHANNELS, batch_norm_eps, kernel=3)
        blocks, before = [], STEM_CHANNELS
        for channels, stride in BLOCKS:
            depthwise = conv_block(before, before, batch_norm_eps, kernel=3, stride=stride, groups=before)
            blocks.append(nn.Sequential(depthwise, conv_block(before, channels, batch_norm_eps)))
            before = channels
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.BatchNorm2d(before, eps=LAST_NORM_EPS)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(before * self.map_size**2, embedding_size)
        self.output_norm = nn.BatchNorm1d(embedding_size, eps=LAST_NORM_EPS)
        initialize_kaiming(self)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW: Tensor = self.blocks(self.stem(images_BCHW))
        return map_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        flat = self.dropout(self.norm(map_BCHW)).flatten(1)
        features_BD: Tensor = self.output_norm(self.linear(flat))
        return features_BD
