"""Applies draws to a whole batch at once, on its device, with the same results as OpenCV up to one or two grey levels.

Every operation is elementwise, or sums in a fixed order or in integers, so that the result for a sample is the same,
bit for bit, in any batch. (Matrix products and convolutions would choose their algorithm by the size of the batch.)
Parameters that differ between samples are tensors or masks; nothing waits for the device.

Shapes: B images, G of them to which an augmentation is applied, C colours, H × W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from facemargin.counting import counted
from facemargin.data.augmentation import batched_geometric, batched_photometric, batched_resampling
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.errors import ConfigError
from facemargin.transfer import on_device

_APPLY: dict[str, Callable[[Tensor, list[Any]], Tensor]] = {
    "flip": batched_geometric.flip,
    "color_jitter": batched_photometric.color_jitter,
    "affine": batched_geometric.affine,
    "grayscale": batched_photometric.grayscale,
    "blur": batched_resampling.blur,
    "noise": batched_photometric.noise,
    "erasing": batched_geometric.erasing,
    "low_resolution": batched_resampling.low_resolution,
    "crop": batched_geometric.crop,
}


def augment_batch(images_BCHW: Tensor, draws: Sequence[AugmentationDraws]) -> Tensor:
    """Apply to every image (uint8 RGB) its draws. The result is a new uint8 tensor on the same device.

    The draws are those of `draw_augmentation` for images of this size. Raises ConfigError for images that are not uint8
    RGB, and if the numbers of images and draws differ.
    """
    if images_BCHW.dtype != torch.uint8 or images_BCHW.ndim != 4 or images_BCHW.shape[1] != 3:
        given = f"{images_BCHW.dtype} of shape {tuple(images_BCHW.shape)}"
        raise ConfigError(f"augment_batch got images {given}, expected uint8 (B, 3, H, W)")
    if len(images_BCHW) != len(draws):
        raise ConfigError(
            f"augment_batch got {counted(len(images_BCHW), 'image')} and {counted(len(draws), 'draw')}, expected "
            "one for each"
        )
    augmented_BCHW = images_BCHW.clone(memory_format=torch.contiguous_format)
    for name, happening in _rounds(draws):
        positions_G = on_device(list(happening), torch.int64, images_BCHW.device)
        augmented_BCHW[positions_G] = _APPLY[name](augmented_BCHW[positions_G], list(happening.values()))
    return augmented_BCHW


def _rounds(draws: Sequence[AugmentationDraws]) -> Iterator[tuple[str, dict[int, Any]]]:
    """Yields one augmentation after the other, each with the positions of the images to which it is applied and their
    draws."""
    if len({sample_draws.order for sample_draws in draws}) == 1:
        for name in draws[0].order:
            happening = {position: draw for position, one in enumerate(draws) if (draw := getattr(one, name))}
            if happening:
                yield name, happening
        return
    for names in zip_longest(*(sample_draws.order for sample_draws in draws)):
        for name in dict.fromkeys(names):
            at_its_turn = (position for position, its_name in enumerate(names) if its_name == name is not None)
            happening = {position: draw for position in at_its_turn if (draw := getattr(draws[position], name))}
            if happening:
                yield name, happening
