"""Backbones by name: `create_backbone("ir_101", dropout=0.2)`."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from facemargin.backbones.base import IMAGE_CHANNELS, Backbone
from facemargin.errors import ConfigError
from facemargin.registry import Registry, unknown_name

BackboneClass = TypeVar("BackboneClass", bound=type[Backbone])

_BACKBONES: Registry[partial[Backbone]] = Registry("backbone", "facemargin.backbones")

OPTION_HELP = {
    "input_size": "Side of the images that the network reads, in pixels.",
    "dropout": "The fraction of the last map that is zeroed in training, before the last linear layer.",
    "drop_channels": "Zero whole channels of the last map instead of single values, as MagFace does.",
    "train_features_weight": "Train the weight of the last batch norm, which InsightFace leaves at 1.",
    "batch_norm_eps": "ε of every batch norm.",
    "width": "Channels of the first stage; each later stage has twice those of the one before.",
    "blocks": "Residual blocks of each of the four stages.",
}
"""The help text of every option of the networks."""


def register_backbone(*names: str, **fixed: Any) -> Callable[[BackboneClass], BackboneClass]:
    """Decorator that registers a backbone class under each of `names`, with the arguments in `fixed`."""

    def decorate(backbone_class: BackboneClass) -> BackboneClass:
        _BACKBONES.register(*names)(partial(backbone_class, **fixed))
        return backbone_class

    return decorate


def list_backbones(pattern: str = "*") -> list[str]:
    """Names of the backbones that match a shell-style pattern, sorted: `list_backbones("ir_se_*")`.

    Examples:
        >>> import facemargin as fm
        >>> fm.list_backbones("ir_1*")
        ['ir_100', 'ir_101', 'ir_152', 'ir_18']
    """
    return _BACKBONES.names(pattern)


def backbone_parameters(name: str) -> dict[str, inspect.Parameter]:
    """The options that `create_backbone(name, …)` takes besides `embedding_size` and `in_channels`, each with its type
    and default.

    Raises ConfigError for an unknown name.
    """
    entry = _BACKBONES[name]
    settled = {"embedding_size", "in_channels", *entry.keywords}
    parameters = inspect.signature(entry.func).parameters
    return {option: parameter for option, parameter in parameters.items() if option not in settled}


def backbone_options(name: str) -> dict[str, Any]:
    """The names of `backbone_parameters` with their defaults only."""
    return {option: parameter.default for option, parameter in backbone_parameters(name).items()}


def create_backbone(
    name: str, embedding_size: int = 512, in_channels: int = IMAGE_CHANNELS, **options: Any
) -> Backbone:
    """A freshly initialised backbone: `images_BCHW` in [-1, 1] → `features_BD`, unnormalised, C = `in_channels`, D =
    `embedding_size`.

    `options` are the family's arguments (see `backbone_options`), such as `input_size`, `dropout`, `batch_norm_eps`.
    Raises ConfigError for a name or option that does not exist (the message suggests the nearest name) and for a value
    out of range.

    Examples:
        >>> import facemargin as fm, torch
        >>> backbone = fm.create_backbone("small_resnet", embedding_size=64).eval()
        >>> backbone(torch.zeros(2, 3, backbone.input_size, backbone.input_size)).shape
        torch.Size([2, 64])
    """
    known = backbone_options(name)
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name(f"{name} option", option, known))
    try:
        return _BACKBONES[name](embedding_size, in_channels, **options)
    except ConfigError:
        raise
    except ValueError as error:  # torch raises it for a dropout above 1
        raise ConfigError(f"backbone {name}: {error}") from error
