"""From pixels to what a network reads. Shapes: B images, C colours, H × W pixels."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from facemargin.data.source import RGBImage


def resize_square(image: RGBImage, size: int) -> RGBImage:
    """The image at `size` × `size` pixels: averaged over areas when it shrinks, bilinear when it grows."""
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    shrinks = min(height, width) >= size
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def to_tensor(image: RGBImage) -> Tensor:
    """(H, W, 3) uint8 array to (3, H, W) uint8 tensor; a view, colours last in memory, where the array's rows allow."""
    # PyTorch warns of arrays that may not be written to.
    return torch.from_numpy(np.require(image, requirements=["C", "W"])).permute(2, 0, 1)


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """Images (3, H, W) of `to_tensor` as a batch (B, 3, H, W), channels-last: copied as they lie, several times as fast
    as with the colours moved."""
    return torch.stack([image.permute(1, 2, 0) for image in images]).permute(0, 3, 1, 2)


def normalize(images_BCHW: Tensor) -> Tensor:
    """uint8 pixels to float32 in [-1, 1]: (v − 127.5) / 127.5, on the device the images are on."""
    return images_BCHW.float().sub_(127.5).div_(127.5)
