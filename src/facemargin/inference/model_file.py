"""facemargin's own model files: safetensors whose metadata say which network it is and how to feed it."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from facemargin.errors import CheckpointError
from facemargin.inference.views import Views
from facemargin.version import __version__


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a model file says of itself.

    backbone, options: arguments of `create_backbone`. color_order, mean, std: the network reads (pixel − mean)/std of
    0…255 pixels. loss: the margin it was trained with. views: what `embed` averages by default
    (see views.py). recipe: the whole recipe as YAML.
    """

    backbone: str
    options: dict[str, Any]
    embedding_size: int
    input_size: int
    loss: str
    color_order: str = "RGB"
    mean: float = 127.5
    std: float = 127.5
    views: Views = "flip"
    recipe: str = ""


def save_model(path: Path, state: dict[str, torch.Tensor], info: ModelInfo) -> None:
    """Write weights and metadata to `path` (not atomically: the caller renames)."""
    metadata = {key: json.dumps(value) for key, value in asdict(info).items()}
    metadata["format"] = json.dumps("facemargin")
    metadata["facemargin_version"] = json.dumps(__version__)
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    save_file(tensors, path, metadata=metadata)


def read_model(path: Path) -> tuple[dict[str, torch.Tensor], ModelInfo]:
    """Weights and metadata of a file written by `save_model`; CheckpointError, naming it, for anything else."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = {key: json.loads(value) for key, value in (file.metadata() or {}).items()}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a dict)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"cannot read the model {path}: {error}") from error
    if metadata.get("format") != "facemargin":
        raise CheckpointError(f"{path} is a safetensors file but was not written by facemargin")
    try:
        known = {item.name for item in fields(ModelInfo)}
        return state, ModelInfo(**{key: value for key, value in metadata.items() if key in known})
    except TypeError as error:
        raise CheckpointError(f"{path} lacks metadata: {error}") from error
