"""The size and cost of a backbone, computed without building it in memory."""

from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from facemargin.backbones.registry import create_backbone


@dataclass(frozen=True)
class BackboneInfo:
    """`input_size` in pixels, number of parameters, and multiply-adds that one image costs."""

    name: str
    embedding_size: int
    input_size: int
    parameters: int
    multiply_adds: int


def describe_backbone(name: str, embedding_size: int = 512, **options: Any) -> BackboneInfo:
    """The size and cost of `create_backbone(name, embedding_size, **options)`.

    The multiply-adds are those of convolutions and linear layers, as the field's tables count them ("GFLOPs" there).
    The network is built on torch's meta device, so no weight is allocated. Raises what `create_backbone` raises.
    """
    with torch.device("meta"):
        backbone = create_backbone(name, embedding_size, **options).eval()
        image_BCHW = torch.empty(1, backbone.in_channels, backbone.input_size, backbone.input_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone.embed(backbone.feature_map(image_BCHW))  # the autocast in `forward` does not know the meta device
    return BackboneInfo(
        name=name,
        embedding_size=embedding_size,
        input_size=backbone.input_size,
        parameters=sum(parameter.numel() for parameter in backbone.parameters()),
        multiply_adds=counter.get_total_flops() // 2,
    )
