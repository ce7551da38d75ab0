"""IResNet, InsightFace's improved residual networks, with the state-dict layout of its `arcface_torch` checkpoints.

| name       | units per stage |
|------------|-----------------|
| iresnet18  | 2, 2, 2, 2      |
| iresnet34  | 3, 4, 6, 3      |
| iresnet50  | 3, 4, 14, 3     |
| iresnet100 | 3, 13, 30, 3    |
| iresnet200 | 6, 26, 60, 6    |

The stages have 64, 128, 256 and 512 channels. The units are those of `ir`, but every stage's first one, the first
stage's too, has a convolution in its shortcut. ElasticFace and CR-FIQA use the same layout as it stands; MagFace uses
it with `batch_norm_eps=2e-5, dropout=0.4, drop_channels=True, train_features_weight=True`.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

import torch
from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone
from facemargin.backbones.registry import register_backbone
from facemargin.backbones.strided import strided_pointwise

CHANNELS = (64, 128, 256, 512)


class IBasicBlock(nn.Module):
    """Norm, 3×3, norm, PReLU, 3×3 with the stride, norm; plus the shortcut, which is a convolution if `downsample`."""

    def __init__(self, in_channels: int, channels: int, stride: int, eps: float, downsample: bool) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels, eps=eps)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels, eps=eps)
        self.downsample = (
            nn.Sequential(strided_pointwise(in_channels, channels, stride), nn.BatchNorm2d(channels, eps=eps))
            if downsample
            else nn.Identity()
        )

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        residual_BCHW = self.prelu(self.bn2(self.conv1(self.bn1(map_BCHW))))
        sum_BCHW: Tensor = self.downsample(map_BCHW) + self.bn3(self.conv2(residual_BCHW))
        return sum_BCHW


def stage(in_channels: int, channels: int, units: int, eps: float) -> nn.Sequential:
    """One unit that halves the map and changes the channels, then `units − 1` that keep both."""
    first = IBasicBlock(in_channels, channels, stride=2, eps=eps, downsample=True)
    rest = (IBasicBlock(channels, channels, stride=1, eps=eps, downsample=False) for _ in range(units - 1))
    return nn.Sequential(first, *rest)


@register_backbone("iresnet18", units=(2, 2, 2, 2))
@register_backbone("iresnet34", units=(3, 4, 6, 3))
@register_backbone("iresnet50", units=(3, 4, 14, 3))
@register_backbone("iresnet100", units=(3, 13, 30, 3))
@register_backbone("iresnet200", units=(6, 26, 60, 6))
class IResNet(Backbone):
    """A network of this module's table. Initialisation as in InsightFace: convolutions N(0, 0.1²), torch's for `fc`."""

    def __init__(
        self,
        embedding_size: int = 512,
        in_channels: int = IMAGE_CHANNELS,
        *,
        units: tuple[int, int, int, int],
        input_size: int = 112,
        dropout: float = 0.0,
        drop_channels: bool = False,
        train_features_weight: bool = False,
        batch_norm_eps: float = 1e-5,
    ) -> None:
        """`dropout` zeroes that fraction of the last map, of its whole channels if `drop_channels`.

        `train_features_weight` lets the last batch norm's weight be trained; InsightFace freezes it at 1.
        """
        super().__init__(embedding_size, input_size, in_channels)
        eps = batch_norm_eps
        self.conv1 = nn.Conv2d(in_channels, CHANNELS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(CHANNELS[0], eps=eps)
        self.prelu = nn.PReLU(CHANNELS[0])
        self.layer1 = stage(CHANNELS[0], CHANNELS[0], units[0], eps)
        self.layer2 = stage(CHANNELS[0], CHANNELS[1], units[1], eps)
        self.layer3 = stage(CHANNELS[1], CHANNELS[2], units[2], eps)
        self.layer4 = stage(CHANNELS[2], CHANNELS[3], units[3], eps)
        self.bn2 = nn.BatchNorm2d(CHANNELS[3], eps=eps)
        self.dropout = nn.Dropout2d(dropout) if drop_channels else nn.Dropout(dropout)
        self.fc = nn.Linear(CHANNELS[3] * self.map_size**2, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=eps)
        self.features.weight.requires_grad = train_features_weight
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW = self.prelu(self.bn1(self.conv1(images_BCHW)))
        last_BCHW: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(map_BCHW))))
        return last_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        map_BCHW = self.dropout(self.bn2(map_BCHW))
        features_BD: Tensor = self.features(self.fc(torch.flatten(map_BCHW, 1)))
        return features_BD
