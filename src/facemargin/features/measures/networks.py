"""What the measures that look into a network share: which network it is, what it reads, and in which state.

Shapes: N images, B images of a batch, C channels, H × W pixels.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from facemargin.backbones import Backbone
from facemargin.data.source import ImageSource
from facemargin.data.squareness import squashed_counted
from facemargin.errors import ConfigError
from facemargin.interop.onnx_backbone import OnnxBackbone
from facemargin.models.device import full_float32
from facemargin.models.input import network_input, read_pixels
from facemargin.models.model import Model
from facemargin.models.read_ahead import batches_of, num_readers, read_ahead


def torch_backbone(model: Model, measure: str) -> Backbone:
    """The model's backbone as it was trained, with dropout and batch norms (the one that embeds is folded). Raises
    ConfigError for a model that torch does not compute, or that only reconstructs faces."""
    backbone = model.backbone
    if isinstance(backbone, OnnxBackbone):
        raise ConfigError(
            f"{measure} needs a network that torch computes, and onnxruntime computes this one: load the file from "
            "which it was exported, or choose another measure, such as norm"
        )
    if next(backbone.parameters(), None) is None:
        raise ConfigError(f"{measure} needs a network with weights, and this model has none: choose another measure")
    return backbone


def backbone_inputs(model: Model, images: ImageSource, batch_size: int) -> Iterator[tuple[range, Tensor]]:
    """Yields what the backbone reads of each batch of `images`, in order: (B, C, H, W) on the model's device, the image
    itself without other views, with the maps of a reconstruction where the model has one."""
    recognizer, size = model.recognizer, model.info.input_size
    batches = batches_of(len(images), batch_size)
    with squashed_counted(images) as source:

        def read(batch: range) -> Tensor:
            return read_pixels(source, size, batch)

        for batch, pixels_BCHW in read_ahead(read, batches, num_readers(source, model.device)):
            with torch.no_grad(), full_float32(model.device):
                images_BCHW = network_input(pixels_BCHW.to(model.device), model.info)
                reconstruction = None if recognizer.reconstructor is None else recognizer.reconstructor(images_BCHW)
                yield batch, recognizer.backbone_input(images_BCHW, reconstruction)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Within, the network is in evaluation mode, so that its batch norms do not take in what is measured."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
