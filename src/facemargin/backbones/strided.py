"""1×1 convolutions with a stride, for every network of this package.

oneDNN 3.12, the library that torch 2.13 computes convolutions with on a CPU, writes outside its memory in the backward
pass of a 1×1 convolution with a stride and 2 to 7 input channels, where the map or the weight lies channels last in
float32 and the processor has AVX2 but not AVX-512: the process dies at some later moment. Such a convolution is
therefore computed in an equivalent way: without a stride, on every `stride`-th pixel.

Shape suffixes: B images, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn.functional import conv2d

# An AVX2 vector holds eight floats. With fewer channels, oneDNN's kernel uses only a part of a vector.
_SAFE_CHANNELS = 8


def strided_pointwise(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    """A 1×1 convolution without bias, (B, in_channels, H, W) → (B, channels, ⌈H / stride⌉, ⌈W / stride⌉)."""
    kind = nn.Conv2d if stride == 1 or in_channels >= _SAFE_CHANNELS else _OfEveryStridethPixel
    return kind(in_channels, channels, 1, stride, bias=False)


class _OfEveryStridethPixel(nn.Conv2d):
    """The result of `nn.Conv2d`, computed in another way. Parameters and state dict are the same."""

    def forward(self, map_BCHW: Tensor) -> Tensor:
        down, right = self.stride
        return conv2d(map_BCHW[:, :, ::down, ::right], self.weight, self.bias)
