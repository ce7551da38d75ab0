"""GraFIQs (Kolf, Damer and Boutros, CVPR Workshops 2024, arXiv 2404.12203): how far a network would have to change an
image for its activations to look like those of the training.

At the input of each of the L batch norms of a network, one image has in channel c a mean μ_lc and a (biased) variance
v_lc over its pixels; the training left the running mean μ'_lc and variance v'_lc in the norm. With C_l channels,

    BNS     = 1/L · Σ_l ( 1/C_l · Σ_c (μ_lc − μ'_lc)²  +  1/C_l · Σ_c (v_lc − v'_lc)² )
    quality = − Σ |∂ BNS / ∂φ|

where φ is the image, or the output of a block. The authors' code writes the sum of magnitudes, which is *larger* for
poor images; the sign makes higher better. Shapes: N images, B images of a batch, C channels, H × W pixels.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from facemargin.backbones import Backbone
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embed
from facemargin.features.measures.measure import Measure, register_measure
from facemargin.features.measures.networks import backbone_inputs, evaluating, torch_backbone
from facemargin.models.device import full_float32
from facemargin.models.model import Model
from facemargin.registry import unknown_name

# Every activation of a batch is kept for the gradient: a training step's memory.
_BATCH, _BATCH_ON_A_GPU = 8, 64

IMAGE = "image"


@register_measure("grafiqs", description="GraFIQs: how small the gradient towards the batch norms' statistics is")
def grafiqs(model: Model, place: str = IMAGE) -> Measure:
    """GraFIQs of this module's equation, of one view, in float32. `place` is φ: "image", or the name of a module of the
    backbone, such as "layer4", whose output it is.

    Raises ConfigError for a network without batch norms that have running statistics, and for an unknown place.
    """
    backbone = torch_backbone(model, "grafiqs")
    norms = [module for module in backbone.modules() if _has_statistics(module)]
    if not norms:
        raise ConfigError(
            f"grafiqs needs a network with batch norms (BatchNorm2d with running statistics), and "
            f"{model.info.backbone} has none: choose another measure, such as norm"
        )
    modules = {name: module for name, module in backbone.named_modules() if name}
    if place != IMAGE and place not in modules:
        raise ConfigError(unknown_name(f"module of {model.info.backbone}", place, [IMAGE, *modules]))
    batch_size = _BATCH_ON_A_GPU if model.device.type == "cuda" else _BATCH

    def measure(images: ImageSource, _: Embed) -> NDArray[np.float32]:
        quality_N = np.empty(len(images), np.float32)
        with evaluating(backbone):
            for batch, images_BCHW in backbone_inputs(model, images, batch_size):
                with full_float32(model.device):
                    magnitude_B = gradient_magnitudes(backbone, images_BCHW, None if place == IMAGE else modules[place])
                quality_N[batch.start : batch.stop] = -magnitude_B.cpu().numpy()
        return quality_N

    return measure


@torch.inference_mode(False)  # the caller may be in it
@torch.enable_grad()
def gradient_magnitudes(backbone: Backbone, images_BCHW: Tensor, place: nn.Module | None = None) -> Tensor:
    """Σ|∂BNS/∂φ| (B,) for each image by itself. φ is the output of the module `place`, or the image. The backbone has
    to be in evaluation mode. Raises ConfigError if `place` has no output, or one that does not lead to a batch norm."""
    inputs_BCHW = images_BCHW.detach().clone().requires_grad_()
    outputs: list[Any] = []
    with _statistics(backbone, len(images_BCHW)) as losses, torch.autocast(images_BCHW.device.type, enabled=False):
        hook = None if place is None else place.register_forward_hook(lambda *arguments: outputs.append(arguments[-1]))
        try:
            backbone.embed(backbone.feature_map(inputs_BCHW))
        finally:
            if hook is not None:
                hook.remove()
    if place is not None and not (outputs and isinstance(outputs[-1], Tensor)):
        kind = type(place).__name__
        raise ConfigError(f"the place of the gradient is a {kind} without an output tensor of its own: choose another")
    source = inputs_BCHW if place is None else outputs[-1]
    # The loss of an image depends on its own activations alone, so the gradient of the sum has that of each image.
    loss = torch.stack(losses).mean(0).sum()
    gradient = torch.autograd.grad(loss, source, allow_unused=True)[0]
    if gradient is None:
        raise ConfigError("there is no batch norm behind the place of the gradient: choose an earlier place")
    return gradient.abs().flatten(1).sum(1)


@contextmanager
def _statistics(network: nn.Module, batch: int) -> Iterator[list[Tensor]]:
    """Within, a list of what each batch norm adds to BNS when it is called, (B,) each."""
    losses: list[Tensor] = []

    def note(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        (map_BCHW,) = inputs
        variance_BC, mean_BC = torch.var_mean(map_BCHW, dim=(2, 3), correction=0)
        assert norm.running_mean is not None and norm.running_var is not None
        losses.append(_mean_square(mean_BC - norm.running_mean) + _mean_square(variance_BC - norm.running_var))

    hooks = [module.register_forward_hook(note) for module in network.modules() if _has_statistics(module)]
    try:
        yield losses
    finally:
        for hook in hooks:
            hook.remove()


def _mean_square(difference_BC: Tensor) -> Tensor:
    return difference_BC.square().mean(1)


def _has_statistics(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None
