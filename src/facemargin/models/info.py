"""facemargin's own model files: safetensors with metadata that describe the network and its input."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open

from facemargin.backbones import list_backbones
from facemargin.data.images.normalization import PerChannel, per_channel
from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.safetensors import require_small_header, write_safetensors
from facemargin.models.views import Views
from facemargin.quality import QualityName
from facemargin.version import __version__

_LARGEST_INPUT = 1024


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """The description of a model in its file.

    backbone, options: arguments of `create_backbone`. reconstruction: the settings of its FaceReconstructor, or None.
    If the file only has a reconstructor, backbone is None, embedding_size is 0 and loss is "reconstruction".
    color_order, mean, std: the network reads (pixel − mean)/std of pixels 0…255; three numbers are in the order of its
    channels, color_order, and become one if they are equal. loss: the margin of the training.
    quality: how `embed` measures an image's quality; "crfiqa" if the file has the layer that predicts it. views: the
    views that `embed` averages by default (see views.py). recipe: the whole recipe as YAML. family, licence: of the
    project from which the checkpoint comes; empty for facemargin's own models.
    """

    backbone: str | None
    options: dict[str, Any]
    embedding_size: int
    input_size: int
    loss: str
    color_order: str = "RGB"
    mean: PerChannel = 127.5
    std: PerChannel = 127.5
    quality: QualityName = "norm"
    reconstruction: dict[str, Any] | None = None
    views: Views = "flip"
    recipe: str = ""
    family: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        """Raises CheckpointError for values that no file of facemargin has."""
        choices = {"color_order": ("RGB", "BGR"), "quality": get_args(QualityName), "views": get_args(Views)}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise CheckpointError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.backbone is None and self.reconstruction is None:
            raise CheckpointError("backbone and reconstruction are both null, expected at least one of them")
        try:
            for name in ("mean", "std"):  # a list in a file becomes a tuple
                object.__setattr__(self, name, per_channel(name, getattr(self, name)))
        except ConfigError as error:
            raise CheckpointError(str(error)) from error
        if type(self.embedding_size) is not int or self.embedding_size < 0:
            raise CheckpointError(f"embedding_size is {self.embedding_size!r}, expected a number of values")
        if type(self.input_size) is not int or not 0 < self.input_size <= _LARGEST_INPUT:
            raise CheckpointError(f"input_size is {self.input_size!r}, expected 1 to {_LARGEST_INPUT} pixels")


def file_metadata(info: ModelInfo) -> dict[str, str]:
    """The metadata of a facemargin file."""
    metadata = {key: json.dumps(value) for key, value in asdict(info).items()}
    return metadata | {"format": json.dumps("facemargin"), "facemargin_version": json.dumps(__version__)}


def save_model(path: Path, state: dict[str, torch.Tensor], info: ModelInfo) -> None:
    """Write weights and metadata to `path` (not atomically: the caller renames the file). Equal weights and metadata
    give equal files, byte for byte.

    Raises OSError if writing fails, and ConfigError if the network is not registered, because `load` could not build it
    again.
    """
    if info.backbone is not None and info.backbone not in list_backbones():
        raise ConfigError(
            f"facemargin cannot build the network {info.backbone!r} by its name, so its file could not be loaded: "
            "save its state_dict with torch, or register the network with @register_backbone"
        )
    metadata = file_metadata(info)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    try:
        write_safetensors(path, tensors, metadata)
    except SafetensorError as error:  # safetensors raises its own type of error, also for a full disk
        raise OSError(str(error)) from error


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], ModelInfo]:
    """The weights and metadata of a file written by `save_model`. Raises CheckpointError, which names the file, for any
    other file."""
    try:
        require_small_header(path)
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"cannot read the model {path}: {error}") from error
    if metadata.get("format") != json.dumps("facemargin"):
        raise CheckpointError(f"{path} is a safetensors file but was not written by facemargin")
    try:
        known = {item.name for item in fields(ModelInfo)}
        return state, ModelInfo(**{key: json.loads(value) for key, value in metadata.items() if key in known})
    except (TypeError, ValueError, OverflowError, RecursionError, CheckpointError) as error:
        raise CheckpointError(f"{path} has no valid description of its model in its metadata: {error}") from error
