"""A residual network small enough to train from scratch on two CPU cores, for the demo and for tests.

| part   | what                              | channels  | stride | map (64-pixel images) |
|--------|-----------------------------------|-----------|--------|-----------------------|
| stem   | 3×3 convolution                   | width     | 2      | 32                    |
| stage1 | blocks[0] residual blocks         | width     | 1      | 32                    |
| stage2 | blocks[1] residual blocks         | 2 · width | 2      | 16                    |
| stage3 | blocks[2] residual blocks         | 4 · width | 2      | 8                     |
| stage4 | blocks[3] residual blocks         | 8 · width | 2      | 4                     |
| output | dropout, linear layer, batch norm |           |        |                       |

The stride of a stage is in its first block.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone, initialize_kaiming
from facemargin.backbones.registry import register_backbone
from facemargin.backbones.strided import strided_pointwise
from facemargin.errors import ConfigError


class ResidualBlock(nn.Module):
    """3×3 with the stride, norm, PReLU, 3×3, norm; plus the shortcut; PReLU (He et al. 2016)."""

    def __init__(self, in_channels: int, channels: int, stride: int, eps: float) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels, eps=eps),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels, eps=eps),
        )
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels or stride != 1:
            self.shortcut = nn.Sequential(
                strided_pointwise(in_channels, channels, stride), nn.BatchNorm2d(channels, eps=eps)
            )
        self.activation = nn.PReLU(channels)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        activated_BCHW: Tensor = self.activation(self.shortcut(map_BCHW) + self.residual(map_BCHW))
        return activated_BCHW


def stage(in_channels: int, channels: int, blocks: int, stride: int, eps: float) -> nn.Sequential:
    """`blocks` residual blocks, the first of which changes the channels and the size."""
    first = ResidualBlock(in_channels, channels, stride, eps)
    return nn.Sequential(first, *(ResidualBlock(channels, channels, 1, eps) for _ in range(blocks - 1)))


@register_backbone("small_resnet")
class SmallResNet(Backbone):
    """The network of this module's table. Initialisation: He et al. 2015. The last batch norm has no weight or bias."""

    def __init__(
        self,
        embedding_size: int = 512,
        in_channels: int = IMAGE_CHANNELS,
        *,
        input_size: int = 64,
        width: int = 32,
        blocks: tuple[int, int, int, int] = (1, 1, 1, 1),
        dropout: float = 0.0,
        batch_norm_eps: float = 1e-5,
    ) -> None:
        """`width` is the first stage's channels; `dropout` zeroes that fraction of the flattened map.

        Raises ConfigError for a width or a number of blocks below 1, or for other than four stages.
        """
        super().__init__(embedding_size, input_size, in_channels)
        if width < 1:
            raise ConfigError(f"width is {width}; it must be at least 1 (32 is usual)")
        if len(blocks) != 4 or min(blocks) < 1:
            raise ConfigError(f"blocks is {blocks}; give four numbers of at least 1, the residual blocks of each stage")
        eps = batch_norm_eps
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width, eps=eps),
            nn.PReLU(width),
        )
        self.stage1 = stage(width, width, blocks[0], stride=1, eps=eps)
        self.stage2 = stage(width, 2 * width, blocks[1], stride=2, eps=eps)
        self.stage3 = stage(2 * width, 4 * width, blocks[2], stride=2, eps=eps)
        self.stage4 = stage(4 * width, 8 * width, blocks[3], stride=2, eps=eps)
        self.output = nn.Sequential(
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(8 * width * self.map_size**2, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, eps=eps, affine=False),
        )
        initialize_kaiming(self)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW = self.stem(images_BCHW)
        last_BCHW: Tensor = self.stage4(self.stage3(self.stage2(self.stage1(map_BCHW))))
        return last_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.output(map_BCHW)
        return features_BD
