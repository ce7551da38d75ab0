"""Augmentations that remove detail, for a batch of images, each with its own draw. They are separable sums of a few
neighbours.

Shapes: G images, C colours, H × W pixels, S lines of the result, K taps (the source lines that are summed for a line),
X, Y two other dimensions. Images are uint8.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from facemargin.data.augmentation.batched_photometric import to_gray_values
from facemargin.data.augmentation.config import Interpolation
from facemargin.data.augmentation.draws import LowResolution
from facemargin.data.images.interpolation import resize_weights
from facemargin.transfer import on_device

Taps = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Source lines (S, K) and their weights (S, K)."""
_NO_WEIGHT = 1e-7


def blur(images_GCHW: Tensor, sigmas: Sequence[float]) -> Tensor:
    """Convolve each image with its Gaussian, which ends where OpenCV's ends (about 3 σ). Images are mirrored at the
    edges."""
    radii = [(round(6 * sigma + 1) | 1) // 2 for sigma in sigmas]
    weights_GK = np.zeros((len(sigmas), 2 * max(radii) + 1))
    for weights_K, sigma, radius in zip(weights_GK, sigmas, radii, strict=True):
        offsets = np.arange(-radius, radius + 1)
        gaussian = np.exp(-(offsets**2) / (2 * sigma**2))
        weights_K[max(radii) + offsets] = gaussian / gaussian.sum()
    weights_KG111 = on_device(weights_GK.T.copy(), torch.float32, images_GCHW.device)[:, :, None, None, None]
    values_GCHW = images_GCHW.float()
    for dimension in (3, 2):
        size = values_GCHW.shape[dimension]
        mirrored = _mirrored(np.arange(-max(radii), size + max(radii)), size)
        padded = values_GCHW.index_select(dimension, on_device(mirrored, torch.int64, images_GCHW.device))
        values_GCHW = torch.zeros_like(values_GCHW)
        for k, weight_G111 in enumerate(weights_KG111):
            values_GCHW += padded.narrow(dimension, k, size) * weight_G111
    return to_gray_values(values_GCHW)


def low_resolution(images_GCHW: Tensor, draws: Sequence[LowResolution]) -> Tensor:
    """Shrink each image to its small size and enlarge it again, with its own interpolations.

    The small images are stored in the corners of images of equal size; the other pixels are not used.
    """
    height, width = images_GCHW.shape[2:]
    small_GCHW = _resized(
        images_GCHW,
        [resize_taps(height, draw.height, draw.shrink) for draw in draws],
        [resize_taps(width, draw.width, draw.shrink) for draw in draws],
    )
    return _resized(
        small_GCHW,
        [resize_taps(draw.height, height, draw.enlarge) for draw in draws],
        [resize_taps(draw.width, width, draw.enlarge) for draw in draws],
    )


@lru_cache(maxsize=4096)
def resize_taps(size: int, new_size: int, interpolation: Interpolation) -> Taps:
    """The taps with which `interpolation` computes `new_size` lines from `size` lines."""
    weights_SN = resize_weights(size, new_size, interpolation)
    used_SN = np.abs(weights_SN) > _NO_WEIGHT
    taps = int(used_SN.sum(axis=1).max())
    # Lines with a weight come first, in their order.
    lines_SK = np.argsort(~used_SN, axis=1, kind="stable")[:, :taps]
    return lines_SK, np.take_along_axis(np.where(used_SN, weights_SN, 0), lines_SK, axis=1)


def _resized(images_GCHW: Tensor, vertical: Sequence[Taps], horizontal: Sequence[Taps]) -> Tensor:
    """Resize the images. The result is uint8 and as large as the largest new size."""
    values_GHCW = _summed_lines(images_GCHW.float().transpose(1, 2), vertical)
    values_GWCH = _summed_lines(values_GHCW.transpose(1, 3), horizontal)
    return to_gray_values(values_GWCH.permute(0, 2, 3, 1)).contiguous()


def _summed_lines(values_GNXY: Tensor, taps: Sequence[Taps]) -> Tensor:
    """(G, S, X, Y): each line is the weighted sum of its taps. S is the largest number in the batch; missing lines are
    0."""
    num_images, num_lines = values_GNXY.shape[:2]
    new_lines = max(len(lines_SK) for lines_SK, _ in taps)
    all_lines = values_GNXY.reshape(num_images * num_lines, -1)  # the lines of all images in one tensor
    sums = _sums_at_once if all_lines.is_cuda else _sums_tap_by_tap
    return sums(all_lines, taps, num_lines, new_lines).view(num_images, new_lines, *values_GNXY.shape[2:])


def _sums_tap_by_tap(all_lines: Tensor, taps: Sequence[Taps], num_lines: int, new_lines: int) -> Tensor:
    """K is the largest number of taps; missing ones have weight 0."""
    num_taps = max(lines_SK.shape[1] for lines_SK, _ in taps)
    lines_KGS = np.zeros((num_taps, len(taps), new_lines), dtype=np.int64)
    weights_KGS = np.zeros((num_taps, len(taps), new_lines), dtype=np.float32)
    for image, (lines_SK, weights_SK) in enumerate(taps):
        lines_KGS[: lines_SK.shape[1], image, : lines_SK.shape[0]] = lines_SK.T
        weights_KGS[: lines_SK.shape[1], image, : lines_SK.shape[0]] = weights_SK.T
    lines_KGS += num_lines * np.arange(len(taps))[:, None]
    device = all_lines.device
    summed = torch.zeros(len(taps) * new_lines, all_lines.shape[1], device=device)
    for lines_GS, weights_GS in zip(
        on_device(lines_KGS, torch.int64, device), on_device(weights_KGS, torch.float32, device), strict=True
    ):
        summed += all_lines.index_select(0, lines_GS.flatten()) * weights_GS.reshape(-1, 1)
    return summed


def _sums_at_once(all_lines: Tensor, taps: Sequence[Taps], num_lines: int, new_lines: int) -> Tensor:
    """The same up to rounding, in one kernel, which a GPU starts and computes much faster than three a tap. It adds the
    taps of a line one after the other, too, so that a sample is the same in any batch."""
    device = all_lines.device
    sizes_G = [lines_SK.size for lines_SK, _ in taps]
    taps_GS = np.zeros((len(taps), new_lines), dtype=np.int64)
    for taps_S, (lines_SK, _) in zip(taps_GS, taps, strict=True):
        taps_S[: len(lines_SK)] = lines_SK.shape[1]
    firsts = np.cumsum(taps_GS) - taps_GS.ravel()
    lines = np.concatenate([lines_SK.ravel() for lines_SK, _ in taps])
    lines += np.repeat(num_lines * np.arange(len(taps)), sizes_G)
    weights = np.concatenate([weights_SK.ravel() for _, weights_SK in taps])
    return functional.embedding_bag(
        on_device(lines, torch.int64, device),
        all_lines,
        on_device(firsts, torch.int64, device),
        mode="sum",
        per_sample_weights=on_device(weights, torch.float32, device),
    )


def _mirrored(positions: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Positions reflected into 0..size-1 without repeating the edge, several times if necessary."""
    if size == 1:
        return np.zeros_like(positions)
    phase = positions % (2 * (size - 1))
    return np.minimum(phase, 2 * (size - 1) - phase)
