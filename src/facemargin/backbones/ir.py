"""IR and IR-SE, the improved residual networks of AdaFace, with the state-dict layout of its released checkpoints.

| name            | units per stage | unit       | channels of the stages |
|-----------------|-----------------|------------|------------------------|
| ir_18           | 2, 2, 2, 2      | basic      | 64, 128, 256, 512      |
| ir_34           | 3, 4, 6, 3      | basic      | 64, 128, 256, 512      |
| ir_50           | 3, 4, 14, 3     | basic      | 64, 128, 256, 512      |
| ir_101 (ir_100) | 3, 13, 30, 3    | basic      | 64, 128, 256, 512      |
| ir_152          | 3, 8, 36, 3     | bottleneck | 256, 512, 1024, 2048   |
| ir_200          | 3, 24, 36, 3    | bottleneck | 256, 512, 1024, 2048   |

Each `ir_se_*` is its `ir_*` with a squeeze-and-excitation gate at the end of every unit (Hu et al. 2018).
The unit is ArcFace's (Deng et al. 2019, "improved residual unit"). FunFace and CVLface use the same layout.

Shape suffixes: B images, C channels, H height, W width, D embedding size.
"""

from functools import partial

from torch import Tensor, nn

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone, initialize_kaiming
from facemargin.backbones.registry import register_backbone
from facemargin.backbones.strided import strided_pointwise

STEM_CHANNELS = 64
UNITS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    101: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
BASIC_CHANNELS = (64, 128, 256, 512)
BOTTLENECK_CHANNELS = (256, 512, 1024, 2048)
BOTTLENECK_REDUCTION = 4
SQUEEZE_REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate in (0, 1) computed from all channels' means (Hu et al. 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // SQUEEZE_REDUCTION, 1, bias=False)
        self.relu = nn.ReLU()
        self.fc2 = nn.Conv2d(channels // SQUEEZE_REDUCTION, channels, 1, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, C, H, W) → (B, C, H, W)."""
        squeezed_BC11 = self.relu(self.fc1(self.avg_pool(map_BCHW)))
        excited_BCHW: Tensor = map_BCHW * self.sigmoid(self.fc2(squeezed_BC11))
        return excited_BCHW


class ResidualUnit(nn.Module):
    """The shortcut plus the residual branch; the stride sits in the branch's last convolution."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, eps: float, bottleneck: bool, squeeze_excitation: bool
    ) -> None:
        super().__init__()
        self.shortcut_layer = shortcut(in_channels, channels, stride, eps)
        branch = bottleneck_branch if bottleneck else basic_branch
        self.res_layer = branch(in_channels, channels, stride, eps)
        if squeeze_excitation:
            self.res_layer.add_module("se_block", SqueezeExcitation(channels))

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """(B, in_channels, H, W) → (B, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
        sum_BCHW: Tensor = self.shortcut_layer(map_BCHW) + self.res_layer(map_BCHW)
        return sum_BCHW


def shortcut(in_channels: int, channels: int, stride: int, eps: float) -> nn.Module:
    """A 1×1 convolution where the channels change, else every `stride`-th pixel."""
    if in_channels != channels:
        return nn.Sequential(strided_pointwise(in_channels, channels, stride), nn.BatchNorm2d(channels, eps=eps))
    return nn.MaxPool2d(1, stride) if stride > 1 else nn.Identity()


def basic_branch(in_channels: int, channels: int, stride: int, eps: float) -> nn.Sequential:
    """Norm, 3×3, norm, PReLU, 3×3 with the stride, norm."""
    return nn.Sequential(
        nn.BatchNorm2d(in_channels, eps=eps),
        nn.Conv2d(in_channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels, eps=eps),
        nn.PReLU(channels),
        nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(channels, eps=eps),
    )


def bottleneck_branch(in_channels: int, channels: int, stride: int, eps: float) -> nn.Sequential:
    """Norm, 1×1 to a quarter of the channels, norm, PReLU, 3×3, norm, PReLU, 1×1 with the stride, norm."""
    inner = channels // BOTTLENECK_REDUCTION
    return nn.Sequential(
        nn.BatchNorm2d(in_channels, eps=eps),
        nn.Conv2d(in_channels, inner, 1, bias=False),
        nn.BatchNorm2d(inner, eps=eps),
        nn.PReLU(inner),
        nn.Conv2d(inner, inner, 3, padding=1, bias=False),
        nn.BatchNorm2d(inner, eps=eps),
        nn.PReLU(inner),
        strided_pointwise(inner, channels, stride),
        nn.BatchNorm2d(channels, eps=eps),
    )


@register_backbone("ir_18", depth=18, squeeze_excitation=False)
@register_backbone("ir_34", depth=34, squeeze_excitation=False)
@register_backbone("ir_50", depth=50, squeeze_excitation=False)
@register_backbone("ir_101", "ir_100", depth=101, squeeze_excitation=False)
@register_backbone("ir_152", depth=152, squeeze_excitation=False)
@register_backbone("ir_200", depth=200, squeeze_excitation=False)
@register_backbone("ir_se_18", depth=18, squeeze_excitation=True)
@register_backbone("ir_se_34", depth=34, squeeze_excitation=True)
@register_backbone("ir_se_50", depth=50, squeeze_excitation=True)
@register_backbone("ir_se_101", "ir_se_100", depth=101, squeeze_excitation=True)
@register_backbone("ir_se_152", depth=152, squeeze_excitation=True)
@register_backbone("ir_se_200", depth=200, squeeze_excitation=True)
class IR(Backbone):
    """A network of this module's table, initialised as in AdaFace (He). The last batch norm has no weight or bias."""

    def __init__(
        self,
        embedding_size: int = 512,
        in_channels: int = IMAGE_CHANNELS,
        *,
        depth: int,
        squeeze_excitation: bool,
        input_size: int = 112,
        dropout: float = 0.4,
        batch_norm_eps: float = 1e-5,
    ) -> None:
        """`dropout` zeroes that fraction of the flattened map before the last linear layer."""
        super().__init__(embedding_size, input_size, in_channels)
        bottleneck = depth > 101
        stage_channels = BOTTLENECK_CHANNELS if bottleneck else BASIC_CHANNELS
        unit = partial(ResidualUnit, eps=batch_norm_eps, bottleneck=bottleneck, squeeze_excitation=squeeze_excitation)
        self.input_layer = nn.Sequential(
            nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(STEM_CHANNELS, eps=batch_norm_eps),
            nn.PReLU(STEM_CHANNELS),
        )
        units = []
        in_channels = STEM_CHANNELS
        for channels, count in zip(stage_channels, UNITS[depth], strict=True):
            units.append(unit(in_channels, channels, stride=2))
            units.extend(unit(channels, channels, stride=1) for _ in range(count - 1))
            in_channels = channels
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(in_channels, eps=batch_norm_eps),
            nn.Dropout(dropout),
            nn.Flatten(),
            nn.Linear(in_channels * self.map_size**2, embedding_size),
            nn.BatchNorm1d(embedding_size, eps=batch_norm_eps, affine=False),
        )
        initialize_kaiming(self)

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.feature_map`."""
        map_BCHW: Tensor = self.body(self.input_layer(images_BCHW))
        return map_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.output_layer(map_BCHW)
        return features_BD
