"""Converts pixels to the input of a network. Shapes: B images, C colours, H × W pixels."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from facemargin.data.source import RGBImage


def resize_square(image: RGBImage, size: int) -> RGBImage:
    """Resize the image to `size` × `size` pixels: by averaging areas when it shrinks, bilinear when it grows."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinks = min(height, width) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def to_tensor(image: RGBImage) -> Tensor:
    """Convert an (H, W, 3) uint8 array to a (3, H, W) uint8 tensor. It is a view with colours last in memory, if the
    array's rows allow it."""
    # PyTorch warns about read-only arrays.
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """Stack images (3, H, W) of `to_tensor` to a channels-last batch (B, 3, H, W). Memory is copied without moving the
    colours, which is several times as fast."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def normalize(images_BCHW: Tensor) -> Tensor:
    """Convert uint8 pixels to float32 in [-1, 1] by (v − 127.5) / 127.5, on the device of the images."""
    return images_BCHW.float().sub_(127.5).div_(127.5)
