"""The interpolations in recipes. Each is computed as in the library from which its name comes.

`nearest`, `bilinear`, `area`, `bicubic` and `lanczos` are OpenCV's. They use the same small number of pixels even if an
image shrinks a lot (`area` averages). `nearest_exact`, `bilinear_antialiased` and `bicubic_antialiased` are PyTorch's.
Their filters become wider when an image shrinks, as Pillow's do.
"""

from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from facemargin.data.augmentation.config import Interpolation
from facemargin.data.source import RGBImage

_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "area": cv2.INTER_AREA,
    "bicubic": cv2.INTER_CUBIC,
    "lanczos": cv2.INTER_LANCZOS4,
}
_TORCH = {
    "nearest_exact": ("nearest-exact", False),
    "bilinear_antialiased": ("bilinear", True),
    "bicubic_antialiased": ("bicubic", True),
}


def resize(image: RGBImage, height: int, width: int, interpolation: Interpolation) -> RGBImage:
    """Resize (H, W, 3) uint8 to (height, width, 3) uint8."""
    if interpolation in _OPENCV:
        return cv2.resize(image, (width, height), interpolation=_OPENCV[interpolation])
    if interpolation == "nearest_exact":
        rows, columns = _nearest_exact(image.shape[0], height), _nearest_exact(image.shape[1], width)
        return image.take(rows, axis=0).take(columns, axis=1)
    # With this order of axes, the strides show PyTorch that colours are last in memory, which makes it twice as fast.
    images_1CHW = torch.from_numpy(image)[None].permute(0, 3, 1, 2)
    resized_1CHW = _torch_resize(images_1CHW, height, width, interpolation)
    return np.ascontiguousarray(resized_1CHW[0].permute(1, 2, 0).numpy())


def resize_weights(size: int, new_size: int, interpolation: Interpolation) -> NDArray[np.float32]:
    """(new_size, size): the weights of the pixels of a line in each pixel of the resized line. Resizing is linear, so
    the weights are the results for lines with a single bright pixel."""
    identity: NDArray[np.float32] = np.eye(size, dtype=np.float32)
    if interpolation in _OPENCV:
        weights = cv2.resize(identity, (size, new_size), interpolation=_OPENCV[interpolation])
        return np.asarray(weights, np.float32)
    return _torch_resize(torch.from_numpy(identity)[None, None], new_size, size, interpolation)[0, 0].numpy()


@lru_cache(maxsize=4096)
def _nearest_exact(size: int, new_size: int) -> NDArray[np.int64]:
    """(new_size,): the source line of each line in the resized image. It is computed by PyTorch, because for positions
    halfway between two lines the result depends on float32 rounding."""
    lines_11N = torch.arange(size, dtype=torch.float32)[None, None]
    return F.interpolate(lines_11N, size=new_size, mode="nearest-exact")[0, 0].long().numpy()


def _torch_resize(images_BCHW: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    mode, antialias = _TORCH[interpolation]
    return F.interpolate(images_BCHW, size=(height, width), mode=mode, antialias=antialias)
