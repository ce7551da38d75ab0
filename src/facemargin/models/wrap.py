"""Anyone's network as a Model. Shapes: B images, C colours, D embedding size."""

from typing import Literal

import torch
from torch import Tensor, nn

from facemargin.backbones import Backbone
from facemargin.errors import ConfigError
from facemargin.models.info import ModelInfo
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer


class WrappedBackbone(Backbone):
    """A module that maps images (B, 3, `input_size`, `input_size`) to features (B, D), as a backbone. All of it
    computes in the type of its weights: nothing is known of its layers."""

    def __init__(self, module: nn.Module, embedding_size: int, input_size: int) -> None:
        super().__init__(embedding_size, input_size)
        self.module = module

    def feature_map(self, images_BCHW: Tensor) -> Tensor:
        """The images: `embed` does the work."""
        return images_BCHW

    def embed(self, map_BCHW: Tensor) -> Tensor:
        """See `Backbone.embed`."""
        features_BD: Tensor = self.module(map_BCHW)
        return features_BD

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """See `Backbone.forward`; a module without weights has no type of its own."""
        self._check(images_BCHW)
        return self.embed(images_BCHW)


def wrap(
    module: nn.Module,
    input_size: int = 112,
    color: Literal["rgb", "bgr"] = "rgb",
    mean: float = 127.5,
    std: float = 127.5,
    device: str | torch.device = "cpu",
) -> Model:
    """A network that facemargin does not know, as a `Model` that embeds, is calibrated, evaluated and exported.

    `module` maps (B, 3, `input_size`, `input_size`) float32 images, (pixel − mean)/std of 0…255 in the order `color`,
    to features (B, D), not normalised. It is not copied, and is put into evaluation mode. Raises ConfigError for what
    does not do that, and for values out of range. `save_model` and training need a network of `list_backbones()`.

    Examples:
        >>> import facemargin as fm, torch
        >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
        >>> model = fm.wrap(network, input_size=16, color="bgr")
        >>> model.embed(fm.open_images("orl:1")).vectors.shape
        (10, 8)
    """
    if not isinstance(module, nn.Module):
        raise ConfigError(f"module is a {type(module).__name__}, expected a torch.nn.Module")
    if str(color).lower() not in ("rgb", "bgr"):
        raise ConfigError(f"color is {color!r}, expected rgb or bgr")
    if isinstance(input_size, bool) or not isinstance(input_size, int) or not 16 <= input_size <= 1024:
        raise ConfigError(f"input_size is {input_size!r}, expected 16 to 1024 pixels")
    if not std > 0:
        raise ConfigError(f"std is {std}, expected a positive number")
    size = _embedding_size(module.eval(), input_size)
    info = ModelInfo(
        backbone=f"wrapped {type(module).__name__}",  # never the name of a network that facemargin can build
        options={},
        embedding_size=size,
        input_size=input_size,
        loss="unknown",
        color_order="RGB" if str(color).lower() == "rgb" else "BGR",
        mean=mean,
        std=std,
    )
    return Model(Recognizer(WrappedBackbone(module, size, input_size)), info, device, precision="float32")


def _embedding_size(module: nn.Module, input_size: int) -> int:
    """D, asked of the network; ConfigError where it does not map two images to two rows."""
    weight = next(module.parameters(), None)
    images_BCHW = torch.zeros(2, 3, input_size, input_size, device=None if weight is None else weight.device)
    try:
        with torch.no_grad():
            features = module(images_BCHW)
    except Exception as error:  # whatever somebody else's code raises
        raise ConfigError(
            f"{type(module).__name__} does not take images of shape {tuple(images_BCHW.shape)}: {error}"
        ) from error
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != 2:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ConfigError(f"{type(module).__name__} gives {shape} for two images, expected a tensor of shape (2, D)")
    return features.shape[1]
