"""Checkpoint files of any project, read safely: a PyTorch file, old or new, or safetensors."""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from facemargin.errors import CheckpointError
from facemargin.files.pickles import CodeError, Inert
from facemargin.files.safetensors import require_small_header
from facemargin.files.stored_tensor import StoredTensor
from facemargin.files.torch_legacy import read_torch_legacy
from facemargin.files.torch_zip import read_torch_zip

logger = logging.getLogger(__name__)

_SAFETENSORS_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_checkpoint_file(path: Path, trust: bool = False) -> Mapping[Any, Any]:
    """The mapping in a checkpoint, usually from names to tensors (`StoredTensor`) or to further mappings.

    Nothing in the file is run. One that calls functions of Python, numpy or torch is refused; with `trust` it is read
    by torch.load, which runs whatever it says. Raises CheckpointError, naming the file, if it is missing, damaged,
    holds such calls, or something else than a mapping.
    """
    try:
        with path.open("rb") as file:
            start = file.read(10)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    if start[8:9] == b"{":
        return _read_safetensors(path)
    if start[:4] != b"PK\x03\x04" and start[:1] != b"\x80":
        raise CheckpointError(
            f"{path} is not a checkpoint: expected a file of torch.save (.ckpt, .pth, .pt), .safetensors or .onnx"
        )
    if trust:
        return _mapping(path, _read_trusted(path))
    try:
        return _mapping(path, (read_torch_zip if start[:1] == b"P" else read_torch_legacy)(path))
    except CodeError as error:
        raise CheckpointError(
            f"{path} is refused: it is a pickle that calls {error} when it is loaded, so it could do anything on "
            "this machine. Weights do not need this. If you know who made the file and trust them, load it with "
            "trust=True (on the command line --trust), which runs its code. It is safer to ask for a state dict "
            "or a safetensors file"
        ) from error


def _read_safetensors(path: Path) -> dict[str, StoredTensor]:
    try:
        require_small_header(path)
        with safe_open(path, framework="pt") as file:
            tensors = {}
            for key in file.keys():  # noqa: SIM118  (not a dict)
                part = file.get_slice(key)
                dtype = _SAFETENSORS_TYPES.get(part.get_dtype())
                if dtype is not None:
                    tensors[key] = StoredTensor(
                        tuple(part.get_shape()), dtype, partial(_read_from_safetensors, path, key)
                    )
            return tensors
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _read_from_safetensors(path: Path, key: str) -> torch.Tensor:
    with safe_open(path, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(key)
        return tensor


def _read_trusted(path: Path) -> object:
    logger.warning("%s is loaded with trust, which runs the code in it", path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # foreign code can raise any error
        raise CheckpointError(f"{path} cannot be loaded by torch.load: {error}") from error
    return _stored(content)


def _stored(content: object, depth: int = 3) -> object:
    if isinstance(content, torch.nn.Module):
        content = content.state_dict()
    if isinstance(content, torch.Tensor):
        return StoredTensor.of(content)
    if isinstance(content, Mapping) and depth:
        return {key: _stored(value, depth - 1) for key, value in content.items()}
    return content


def _mapping(path: Path, content: object) -> Mapping[Any, Any]:
    if isinstance(content, Inert):
        raise CheckpointError(
            f"{path} contains a whole object of class {content.name} instead of weights. Save its state_dict() "
            "instead. If that is not possible and you trust its author, load it with trust=True (--trust), which "
            "runs its code"
        )
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} contains a {type(content).__name__}, expected a mapping from names to tensors")
    return content
