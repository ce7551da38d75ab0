"""The networks of the reconstruction: encoders from an image to a few numbers, and autoencoders from an image to a map.

| part    | what                                          | channels    | size of the map |
|---------|-----------------------------------------------|-------------|-----------------|
| encoder | 3×3 convolution, stride 2, three times        | w, 2w, 4w   | S/2, S/4, S/8   |
|         | 3×3 convolution                               | 4w          | S/8             |
|         | linear layer                                  | outputs     | 1               |
| decoder | linear layer                                  | 4w          | S/8             |
|         | 3×3 convolution, upsampling, twice            | 4w, 2w      | S/4, S/2        |
|         | 3×3 convolution                               | 2w          | S/2             |
|         | 3×3 convolution, pixel shuffle                | channels    | S               |

Each 3×3 convolution but the last is followed by a group norm, which is the same for a batch of one, and a leaky ReLU.

Shape suffixes: B images, S their height and width in pixels, w width.
"""

import torch
from torch import nn

from facemargin.reconstruction.config import GROUPS

IMAGE_CHANNELS = 3
TOTAL_STRIDE = 8
LEAK = 0.1

# With small weights in the output layer, every network starts at the middle of its range: the initial head, from the
# front.
SMALL = 0.1


def encoder(image_size: int, width: int, outputs: int) -> nn.Sequential:
    """(B, 3, S, S) → (B, outputs)."""
    map_size = image_size // TOTAL_STRIDE
    return nn.Sequential(
        *_block(IMAGE_CHANNELS, width, stride=2),
        *_block(width, 2 * width, stride=2),
        *_block(2 * width, 4 * width, stride=2),
        *_block(4 * width, 4 * width),
        nn.Flatten(),
        nn.Linear(4 * width * map_size**2, outputs),
    )


def autoencoder(image_size: int, width: int, latent_size: int, channels: int) -> nn.Sequential:
    """(B, 3, S, S) → (B, channels, S, S), through `latent_size` numbers per image."""
    map_size = image_size // TOTAL_STRIDE
    return nn.Sequential(
        encoder(image_size, width, latent_size),
        nn.LeakyReLU(LEAK),
        nn.Linear(latent_size, 4 * width * map_size**2),
        nn.Unflatten(1, (4 * width, map_size, map_size)),
        *_block(4 * width, 4 * width),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        *_block(4 * width, 2 * width),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        *_block(2 * width, 2 * width),
        nn.Conv2d(2 * width, 4 * channels, 3, padding=1),
        nn.PixelShuffle(2),
    )


@torch.no_grad()
def start_small(network: nn.Sequential) -> nn.Sequential:
    """Make the weights of the network's last layer small and its bias zero, and return the network."""
    last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
    last.weight.mul_(SMALL)
    assert last.bias is not None
    last.bias.zero_()
    return network


def _block(in_channels: int, channels: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False),
        nn.GroupNorm(GROUPS, channels),
        nn.LeakyReLU(LEAK),
    ]
