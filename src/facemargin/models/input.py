"""Converts images to the input of a network. Shapes: B images, C colours, H × W pixels."""

import torch
from torch import Tensor

from facemargin.data.images.normalization import PerChannel
from facemargin.data.images.pixels import resize_square, stack_images, to_tensor
from facemargin.data.source import ImageSource
from facemargin.models.info import ModelInfo


def read_pixels(images: ImageSource, size: int, batch: range) -> Tensor:
    """The images with the given numbers (at least one), resized: (B, C, `size`, `size`) uint8, RGB."""
    return stack_images([to_tensor(resize_square(images.read(index), size)) for index in batch])


def network_input(pixels_BCHW: Tensor, info: ModelInfo) -> Tensor:
    """Convert uint8 RGB pixels to the input of the network that `info` describes: float32, in its colour order and
    scale, (pixel − mean)/std by channel of the network."""
    if info.color_order == "BGR":
        pixels_BCHW = pixels_BCHW.flip(1)
    return (pixels_BCHW.float() - _by_channel(info.mean, pixels_BCHW)) / _by_channel(info.std, pixels_BCHW)


def _by_channel(value: PerChannel, pixels_BCHW: Tensor) -> float | Tensor:
    """A factor for (B, 3, H, W), on the device of the pixels, for which the host does not wait."""
    if not isinstance(value, tuple):
        return value
    return torch.tensor(value)[:, None, None].to(pixels_BCHW.device, non_blocking=True)
