"""The layouts of state dicts that facemargin's backbones share with other projects, and reading the architecture from
them.

Shapes: D embedding size.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from facemargin.backbones import ir, iresnet, mobilefacenet
from facemargin.backbones.base import IMAGE_CHANNELS, TOTAL_STRIDE
from facemargin.backbones.registry import list_backbones
from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import StoredTensor

Tensors = Mapping[str, StoredTensor]

_IRESNET_UNITS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}


@dataclass(frozen=True)
class Architecture:
    """Arguments of `create_backbone`; `input_size` of the images in pixels."""

    backbone: str
    embedding_size: int
    input_size: int


@dataclass(frozen=True)
class Layout:
    """`markers`: keys that every network of the layout has. `pattern`: what its keys look like. `describe`: from the
    tensors to the network; CheckpointError where it is none of the known ones."""

    name: str
    title: str
    markers: tuple[str, ...]
    pattern: re.Pattern[str]
    describe: Callable[[Tensors], Architecture]


def _ir(tensors: Tensors) -> Architecture:
    units = 1 + max(int(key.split(".")[1]) for key in tensors if re.match(r"body\.\d+\.", key))
    bottleneck = _shape(tensors, "body.0.res_layer.1.weight", 4)[2:] == (1, 1)
    last = 7 if bottleneck else 4
    channels = [_shape(tensors, f"body.{unit}.res_layer.{last}.weight", 4)[0] for unit in range(units)]
    stages = ir.BOTTLENECK_CHANNELS if bottleneck else ir.BASIC_CHANNELS
    counts = tuple(channels.count(stage) for stage in stages)
    kind = "se_" if any(key.startswith("body.0.res_layer.se_block.") for key in tensors) else ""
    for depth, known in ir.UNITS.items():
        if known == counts and (depth > 101) == bottleneck:
            embedding_size, flat = _shape(tensors, "output_layer.3.weight", 2)
            side = _side(flat, stages[-1], "output_layer.3.weight")
            return Architecture(f"ir_{kind}{depth}", embedding_size, side)
    raise CheckpointError(
        f"it is an IR network with {counts} {'bottleneck' if bottleneck else 'basic'} units per stage; the known "
        f"networks are {', '.join(list_backbones('ir_[0-9]*'))}"
    )


def _iresnet(tensors: Tensors) -> Architecture:
    counts = tuple(
        1 + max((int(key.split(".")[1]) for key in tensors if re.match(rf"layer{stage}\.\d+\.", key)), default=-1)
        for stage in (1, 2, 3, 4)
    )
    for name, known in _IRESNET_UNITS.items():
        if known == counts:
            embedding_size, flat = _shape(tensors, "fc.weight", 2)
            return Architecture(name, embedding_size, _side(flat, iresnet.CHANNELS[-1], "fc.weight"))
    raise CheckpointError(f"it is an IResNet with {counts} units per stage; known are {', '.join(_IRESNET_UNITS)}")


def _mobilefacenet(tensors: Tensors) -> Architecture:
    channels, _, side, _ = _shape(tensors, "features.layers.0.layers.0.weight", 4)
    first = _shape(tensors, "layers.0.layers.0.weight", 4)[0]
    if (channels, first) != (mobilefacenet.LAST_CHANNELS, 128):
        raise CheckpointError(
            f"it is a MobileFaceNet with {first} channels, but facemargin's has 128 (InsightFace's `mbf`)"
        )
    return Architecture("mobilefacenet", _shape(tensors, "features.layers.2.weight", 2)[0], side * TOTAL_STRIDE)


LAYOUTS = (
    Layout(
        "ir",
        "AdaFace's IR",
        ("input_layer.0.weight", "body.0.res_layer.1.weight", "output_layer.3.weight"),
        re.compile(r"(input_layer|output_layer|body\.\d+\.(shortcut|res)_layer)\."),
        _ir,
    ),
    Layout(
        "iresnet",
        "InsightFace's IResNet",
        ("conv1.weight", "layer1.0.conv1.weight", "fc.weight", "features.weight"),
        re.compile(r"(conv1|bn[12]|prelu|layer[1-4]\.\d+\.(bn|conv|prelu|downsample)|fc|features)\w*\."),
        _iresnet,
    ),
    Layout(
        "mobilefacenet",
        "InsightFace's MobileFaceNet",
        ("layers.0.layers.0.weight", "conv_sep.layers.0.weight", "features.layers.2.weight"),
        re.compile(r"(layers\.\d+\.layers|conv_sep\.layers|features\.layers)\."),
        _mobilefacenet,
    ),
)


def check_colors(tensors: Tensors, key: str) -> None:
    """CheckpointError unless the first convolution `key` reads three colours."""
    channels = _shape(tensors, key, 4)[1]
    if channels != IMAGE_CHANNELS:
        raise CheckpointError(f"{key} reads {channels} channels, expected the {IMAGE_CHANNELS} of a colour image")


def _shape(tensors: Tensors, key: str, dimensions: int) -> tuple[int, ...]:
    stored = tensors.get(key)
    if stored is None:
        raise CheckpointError(f"{key} is missing")
    if len(stored.shape) != dimensions:
        raise CheckpointError(f"{key} has shape {stored.shape}, expected {dimensions} dimensions")
    return stored.shape


def _side(flat: int, channels: int, key: str) -> int:
    """The images' side, of a linear layer over the flattened map of `channels`."""
    side = math.isqrt(flat // channels)
    if side * side * channels != flat or side < 1:
        raise CheckpointError(f"{key} reads {flat} values, which do not make a square map of {channels} channels")
    return side * TOTAL_STRIDE
