"""Anyone's network as a Model. Shapes: B images, C colours, D embedding size."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from facemargin.data.images.normalization import PerChannel, given_normalization
from facemargin.errors import ConfigError
from facemargin.models.info import ModelInfo
from facemargin.models.input import network_input
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer
from facemargin.models.trial import try_network
from facemargin.models.views import Views
from facemargin.models.wrapped_backbone import WrappedBackbone, device_of


def wrap(
    module: nn.Module,
    input_size: int | tuple[int, int] = 112,
    color: Literal["rgb", "bgr"] = "rgb",
    mean: PerChannel = 127.5,
    std: PerChannel = 127.5,
    device: str | torch.device | None = None,
    views: Views = "flip",
) -> Model:
    """A network that facemargin does not know, as a `Model` that embeds, is calibrated, evaluated and exported.

    `module` maps (B, 3, height, width) images to features (B, D) or (B, D, 1, 1), not normalised. The images are (pixel
    − mean)/std of 0…255 in the order `color`; mean and std are a number each, or three in this order of colours.

    input_size: the side of the aligned faces, in pixels. A pair (height, width) is the middle of aligned faces whose
    side is the larger of the two: (112, 96) leaves out 8 columns of a face of 112 × 112 on the left and on the right.
    device: where it computes, by default where its weights are. views: what `embed` averages by default.

    The network is not copied, and is put into evaluation mode; weights that change later are seen. It is tried on two
    images of noise: raises ConfigError if it gives no features, values that are not finite, other ones every time, or
    others beside other images, and for values out of range. `save_model` and training need a network of
    `list_backbones()`.

    Examples:
        >>> import facemargin as fm, torch
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 20 * 16, 8))
        >>> model = fm.wrap(network, (20, 16), "bgr", mean=(104, 117, 124), std=128)
        >>> model.embed(fm.open_images("orl:1")).vectors.shape
        (10, 8)
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"module is a {type(module).__name__}, expected a torch.nn.Module")
    if str(color).lower() not in ("rgb", "bgr"):
        raise ConfigError(f"color is {color!r}, expected rgb or bgr")
    reads = _height_and_width(input_size)
    mean, std = given_normalization(mean, std)
    info = ModelInfo(
        backbone=f"wrapped {type(module).__name__}",  # never the name of a network that facemargin can build
        options={},
        embedding_size=0,
        input_size=max(reads),
        loss="unknown",
        color_order="RGB" if str(color).lower() == "rgb" else "BGR",
        mean=mean,
        std=std,
        views=views,
    )
    random = torch.Generator().manual_seed(0)
    pixels_BCHW = torch.randint(0, 256, (2, 3, info.input_size, info.input_size), generator=random, dtype=torch.uint8)
    images_BCHW = network_input(pixels_BCHW, info)
    backbone = WrappedBackbone(module.eval(), 1, reads, images_BCHW)
    backbone.embedding_size = size = try_network(backbone)
    info = dataclasses.replace(info, embedding_size=size)
    return Model(Recognizer(backbone), info, device_of(module) if device is None else device)


def _height_and_width(input_size: object) -> tuple[int, int]:
    is_pair = isinstance(input_size, Sequence) and not isinstance(input_size, str)
    sizes: list[Any] = list(input_size) if is_pair else [input_size] * 2  # type: ignore[call-overload]
    if len(sizes) != 2 or not all(type(size) is int and 16 <= size <= 1024 for size in sizes):
        raise ConfigError(
            f"input_size is {input_size!r}, expected 16 to 1024 pixels, or two such numbers, (height, width)"
        )
    return sizes[0], sizes[1]
