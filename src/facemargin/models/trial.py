"""Tries a network of unknown making before it is used, so that what it does unlike a recogniser is said at once.

Shapes: B images, C colours, H × W pixels, D embedding size.
"""

import copy
import logging

import torch
from torch import Tensor

from facemargin.errors import ConfigError
from facemargin.models.device import full_float32
from facemargin.models.wrapped_backbone import WrappedBackbone, device_of

_ALIKE = 0.01  # of the largest feature: half precision's rounding is below, another draw of dropout above
_UNIT = 1e-3

logger = logging.getLogger(__name__)


@torch.no_grad()
def try_network(backbone: WrappedBackbone) -> int:
    """D, the number of features that the network gives for its two sample images.

    Raises ConfigError if it does not take images, gives something else than features, values that are not finite,
    others for the same image again, or others for an image alone than beside another. Warns if all features have length
    1.
    """
    name = type(backbone.module).__name__
    _check_weights(backbone, name)
    images_BCHW = backbone.sample_BCHW.to(device_of(backbone.module))
    with full_float32(images_BCHW.device):
        together_BD = _features(backbone, images_BCHW, name)
        again_BD = _features(backbone, images_BCHW, name)
        alone_BD = _features(backbone, images_BCHW[1:], name)
    if not together_BD.isfinite().all():
        raise ConfigError(
            f"{name} gives values that are not finite for an image of noise: its weights are damaged, or mean and std "
            "are not those that it was trained with"
        )
    largest = float(together_BD.abs().max())
    if not _is_alike(together_BD, again_BD, largest):
        raise ConfigError(
            f"{name} gives other features for the same images again, although it is in evaluation mode: it draws "
            "random numbers, as a dropout does that does not look at self.training"
        )
    if alone_BD.shape[1] != together_BD.shape[1] or not _is_alike(together_BD[1:], alone_BD, largest):
        raise ConfigError(
            f"{name} gives other features for an image alone than beside another image, although it is in evaluation "
            "mode: each row of its result must depend on its own image only, which a batch norm that computes its "
            "statistics from the batch does not allow"
        )
    if bool((torch.linalg.vector_norm(together_BD, dim=1) - 1).abs().max() < _UNIT):
        logger.warning(
            "the features of %s all have length 1, so their norm says nothing of an image's quality: if the network "
            "normalises them itself, return them before that",
            name,
        )
    return together_BD.shape[1]


def _check_weights(backbone: WrappedBackbone, name: str) -> None:
    if any(tensor.is_meta for tensor in backbone.module.parameters()):
        raise ConfigError(f"{name} is on torch's meta device, so its weights have no values: load them first")
    try:
        copy.deepcopy(backbone.module)
    except Exception as error:  # whatever somebody else's class holds: a lock, a session, a generator
        raise ConfigError(
            f"{name} cannot be copied, which embedding and exporting need ({type(error).__name__}: {error}): keep what "
            "is no weight or plain value outside of it"
        ) from error


def _features(backbone: WrappedBackbone, images_BCHW: Tensor, name: str) -> Tensor:
    """(B, D) of the module itself, whose result may be anything."""
    part_BCHW = backbone.feature_map(images_BCHW).clone(memory_format=torch.contiguous_format)
    shape, count = tuple(part_BCHW.shape), len(images_BCHW)
    try:
        features = backbone.module(part_BCHW)
    except Exception as error:  # whatever somebody else's code raises
        raise ConfigError(
            f"{name} does not take images of shape {shape}, {part_BCHW.dtype}: {error}. If it reads another size, give "
            "it as input_size, one number or (height, width); if it reads colours last, one image or a fixed number of "
            "them, wrap a module whose forward takes (B, 3, height, width), for any B"
        ) from error
    if not isinstance(features, Tensor):
        raise ConfigError(
            f"{name} gives {_described(features)}, expected one tensor (B, D): wrap a module whose forward returns the "
            "features alone"
        )
    if features.ndim == 4 and features.shape[2:] == (1, 1):
        features = features.flatten(1)
    if features.ndim != 2 or len(features) != count or not features.is_floating_point() or not features.shape[1]:
        hint = "if this is a map, its forward should end in pooling or flatten(1) and a linear layer"
        if count == 1:
            hint = "squeeze() also removes the dimension of the images: use flatten(1)"
        given = f"{tuple(features.shape)}{'' if features.is_floating_point() else f' {features.dtype}'}"
        raise ConfigError(
            f"{name} gives {given} for {'one image' if count == 1 else 'two images'} of shape {shape[1:]}, expected "
            f"floats ({count}, D); {hint}"
        )
    return features.float()


def _described(result: object) -> str:
    if isinstance(result, dict):
        return f"a dict of {', '.join(map(repr, result))}"
    if isinstance(result, tuple | list):
        return f"a {type(result).__name__} of {len(result)}"
    return "nothing" if result is None else f"a {type(result).__name__}"


def _is_alike(ours: Tensor, theirs: Tensor, largest: float) -> bool:
    return bool(torch.allclose(ours, theirs, rtol=0, atol=_ALIKE * largest))
