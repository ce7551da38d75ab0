"""MobileFaceNet (Chen et al. 2018) as InsightFace trains it, with twice the paper's channels and its state-dict layout.

| `layers` | what                 | units | channels | expanded | stride |
|----------|----------------------|-------|----------|----------|--------|
| 0        | 3×3 convolution      | 1     | 128      | –        | 2      |
| 1        | 3×3, 64 groups       | 1     | 128      | –        | 1      |
| 2        | inverted bottleneck  | 1     | 128      | 128      | 2      |
| 3        | residual bottlenecks | 4     | 128      | 128      | 1      |
| 4        | inverted bottleneck  | 1     | 256      | 256      | 2      |
| 5        | residual bottlenecks | 6     | 256      | 256      | 1      |
| 6        | inverted bottleneck  | 1     | 256      | 512      | 2      |
| 7        | residual bottlenecks | 2     | 256      | 256      | 1      |

Then `conv_sep`, 1×1 to 512 channels, and `features`: a depthwise convolution as large as the map, which weighs every
position of every channel by itself, a linear layer, a batch norm.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone, initialize_kaiming
from facemargin.backbones.registry import register_backbone

LAST_CHANNELS = 512


class Layers(nn.Module):
    """An `nn.Sequential` under the key `layers`, because the keys of this layout are nested in this way."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Apply the layers to a (B, C, H, W) map."""
        made_BCHW: Tensor = self.layers(map_BCHW)
        return made_BCHW


class Residual(Layers):
    """`Layers` plus the identity."""

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        sum_BCHW: Tensor = map_BCHW + self.layers(map_BCHW)
        return sum_BCHW


def conv_block(
    in_channels: int, channels: int, eps: float, kernel: int = 1, stride: int = 1, groups: int = 1
) -> Layers:
    """Convolution, batch norm, PReLU; only the stride changes the size of the map."""
    return Layers(
        nn.Conv2d(in_channels, channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels, eps=eps),
        nn.PReLU(channels),
    )


def linear_block(in_channels: int, channels: int, eps: float) -> Layers:
    """1×1 convolution and batch norm: the "linear bottleneck", with no activation after it."""
    return Layers(nn.Conv2d(in_channels, channels, 1, bias=False), nn.BatchNorm2d(channels, eps=eps))


def bottleneck(in_channels: int, channels: int, expanded: int, stride: int, eps: float) -> list[nn.Module]:
    """1×1 to `expanded` channels, 3×3 depthwise with the stride, 1×1 to `channels` (MobileNetV2's inverted unit)."""
    return [
        conv_block(in_channels, expanded, eps),
        conv_block(expanded, expanded, eps, kernel=3, stride=stride, groups=expanded),
        linear_block(expanded, channels, eps),
    ]


def residual_bottlenecks(channels: int, units: int, eps: float) -> Layers:
    """`units` bottlenecks of unchanged size, each plus its identity."""
    return Layers(*(Residual(*bottleneck(channels, channels, channels, 1, eps)) for _ in range(units)))


@register_backbone("mobilefacenet")
class MobileFaceNet(Backbone):
    """The network of this module's table. Initialisation as in InsightFace (He). The layout has no dropout."""

    def __init__(
        self,
        embedding_size: int = 512,
        in_channels: int = IMAGE_CHANNELS,
        *,
        input_size: int = 112,
        batch_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(embedding_size, input_size, in_channels)
        eps = batch_norm_eps
        self.layers = nn.Sequential(
            conv_block(in_channels, 128, eps, kernel=3, stride=2),
            conv_block(128, 128, eps, kernel=3, groups=64),
            Layers(*bottleneck(128, 128, 128, 2, eps)),
            residual_bottlenecks(128, 4, eps),
            Layers(*bottleneck(128, 256, 256, 2, eps)),
            residual_bottlenecks(256, 6, eps),
            Layers(*bottleneck(256, 256, 512, 2, eps)),
            residual_bottlenecks(256, 2, eps),
        )
        self.conv_sep = conv_block(256, LAST_CHANNELS, eps)
        self.features = Layers(
            Layers(
                nn.Conv2d(LAST_CHANNELS, LAST_CHANNELS, self.map_size, groups=LAST_CHANNELS, bias=False),
                nn.BatchNorm2d(LAST_CHANNELS, eps=eps),
            ),
            nn.Flatten(),
            nn.Linear(LAST_CHANNELS, embedding_size, bias=False),
            nn.BatchNorm1d(embedding_size, eps=eps),
        )
        initialize_kaiming(self)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW: Tensor = self.conv_sep(self.layers(images_BCHW))
        return map_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.features(map_BCHW)
        return features_BD
