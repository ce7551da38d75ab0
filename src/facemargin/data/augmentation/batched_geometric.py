"""Augmentations that move or hide pixels, for a batch of images, each with its own draw.

Shapes: G images, P of them, C colours, H × W pixels; images are uint8.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from facemargin.data.augmentation.batched_photometric import to_gray_values
from facemargin.data.augmentation.draws import Affine, Erasing, Rectangle
from facemargin.transfer import on_device


def flip(images_GCHW: Tensor, happens: Sequence[bool]) -> Tensor:
    """Mirror the images."""
    return images_GCHW.flip(3)


def affine(images_GCHW: Tensor, draws: Sequence[Affine]) -> Tensor:
    """Move every pixel by the matrix of its image."""
    height, width = images_GCHW.shape[2:]
    device = images_GCHW.device
    # The inverse matrices give the source position of each pixel of the result. They are computed on the host in
    # float64.
    matrices_G33 = np.array([(*draw.matrix, 0.0, 0.0, 1.0) for draw in draws]).reshape(-1, 3, 3)
    inverses_G6 = np.linalg.inv(matrices_G33)[:, :2].reshape(-1, 6)
    a, b, c, d, e, f = on_device(inverses_G6, torch.float32, device)[:, :, None, None].unbind(1)
    x_W, y_H1 = torch.arange(width, device=device), torch.arange(height, device=device)[:, None]
    x_GHW, y_GHW = a * x_W + b * y_H1 + c, d * x_W + e * y_H1 + f
    # Outside the image is black (zeros). If the edge is repeated, positions are clamped, so none is outside.
    reach = [[0, width - 1, 0, height - 1] if draw.border == "repeat" else [-1, width, -1, height] for draw in draws]
    left, right, top, bottom = on_device(reach, torch.float32, device)[:, :, None, None].unbind(1)
    x_GHW, y_GHW = x_GHW.clamp(left, right), y_GHW.clamp(top, bottom)
    moved_GCHW = torch.empty_like(images_GCHW)
    for mode, sample in (("bilinear", _between), ("nearest", _nearest)):
        chosen = [position for position, draw in enumerate(draws) if draw.interpolation == mode]
        if chosen:
            positions_P = on_device(chosen, torch.int64, device)
            moved_GCHW[positions_P] = sample(images_GCHW[positions_P], x_GHW[positions_P], y_GHW[positions_P])
    return moved_GCHW


def _between(images_PCHW: Tensor, x_PHW: Tensor, y_PHW: Tensor) -> Tensor:
    """The images at these positions, interpolated from four pixels each; black beyond the edges."""
    height, width = images_PCHW.shape[2:]
    grid_PHW2 = torch.stack([(2 * x_PHW + 1) / width - 1, (2 * y_PHW + 1) / height - 1], dim=3)
    return to_gray_values(F.grid_sample(images_PCHW.float(), grid_PHW2, mode="bilinear", align_corners=False))


def _nearest(images_PCHW: Tensor, x_PHW: Tensor, y_PHW: Tensor) -> Tensor:
    """The images' pixels nearest to these positions; black beyond the edges.

    Not by `grid_sample`: it takes positions divided by the size of the image and multiplies them again. Where two
    pixels are nearly as near, the rounding of that decides, and devices round it differently.
    """
    height, width = images_PCHW.shape[2:]
    column_PHW, row_PHW = x_PHW.round().long(), y_PHW.round().long()
    inside_PHW = (column_PHW >= 0) & (column_PHW < width) & (row_PHW >= 0) & (row_PHW < height)
    pixel_PHW = row_PHW.clamp(0, height - 1) * width + column_PHW.clamp(0, width - 1)
    pixels_PCN = images_PCHW.flatten(2)
    taken_PCN = pixels_PCN.gather(2, pixel_PHW.flatten(1)[:, None].expand_as(pixels_PCN))
    return taken_PCN.view_as(images_PCHW) * inside_PHW[:, None]


def erasing(images_GCHW: Tensor, draws: Sequence[Erasing]) -> Tensor:
    """Hide a rectangle in each image."""
    gray_G111 = on_device([draw.gray for draw in draws], torch.uint8, images_GCHW.device)[:, None, None, None]
    return torch.where(_inside([draw.rectangle for draw in draws], images_GCHW), gray_G111, images_GCHW)


def crop(images_GCHW: Tensor, draws: Sequence[Rectangle]) -> Tensor:
    """Make everything black except a rectangle in each image."""
    return images_GCHW * _inside(draws, images_GCHW)


def _inside(rectangles: Sequence[Rectangle], images_GCHW: Tensor) -> Tensor:
    """(G, 1, H, W): whether a pixel is inside the rectangle of its image."""
    height, width = images_GCHW.shape[2:]
    device = images_GCHW.device
    ends = [(rectangle.top, rectangle.bottom, rectangle.left, rectangle.right) for rectangle in rectangles]
    top, bottom, left, right = on_device(ends, torch.int64, device)[:, :, None, None, None].unbind(1)
    y_H1, x_W = torch.arange(height, device=device)[:, None], torch.arange(width, device=device)
    return (y_H1 >= top) & (y_H1 < bottom) & (x_W >= left) & (x_W < right)
