"""Draws applied to a whole batch at once, on the device it is on: the same changes as OpenCV's, to a grey level or two.

Every operation works on each value alone, or adds up in a fixed order or in integers, so that a sample comes out the
same, bit for bit, whatever its batch. (Matrix products and convolutions choose their algorithm by the batch's size.)
What samples differ in is a tensor or a mask; nothing waits for the device.

Shapes: B images, G of them that an augmentation happens to, C colours, H × W pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from facemargin.counting import counted
from facemargin.data.augmentation import batched_geometric, batched_photometric, batched_resampling
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.data.augmentation.transfer import on_device
from facemargin.errors import ConfigError

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
    """The images, uint8 RGB, with each one's draws applied; new memory, uint8, on the same device.

    The draws are those of `draw_augmentation` for images of this size. Raises ConfigError for images that are not
    uint8 RGB, or not as many as there are draws.
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
    """One augmentation after the other, each with the positions of the images that it happens to and their draws."""
    for names in zip_longest(*(one.order for one in draws)):
        for name in dict.fromkeys(names):
            at_its_turn = (position for position, its_name in enumerate(names) if its_name == name is not None)
            happening = {position: draw for position in at_its_turn if (draw := getattr(draws[position], name))}
            if happening:
                yield name, happening
