"""Converts another project's checkpoint to the weights of a facemargin backbone and a description of its input."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from facemargin.backbones import create_backbone
from facemargin.counting import some_of
from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import StoredTensor
from facemargin.interop.blank import blank_networks
from facemargin.interop.family import ColorOrder, Family
from facemargin.interop.layouts import Architecture, Tensors, check_colors
from facemargin.interop.reading import read_checkpoint_file
from facemargin.interop.recognize import FoundNetwork, recognize


@dataclass(frozen=True)
class Checkpoint:
    """`state` fits `create_backbone(architecture.backbone, architecture.embedding_size, **options)`. `quality` fits
    CertaintyRatioLayer, or is None. notes: the assumptions that were made. left_out: the other content of the file."""

    family: Family
    architecture: Architecture
    options: Mapping[str, Any]
    color_order: ColorOrder
    state: dict[str, Tensor]
    quality: dict[str, Tensor] | None
    notes: tuple[str, ...]
    left_out: tuple[str, ...]


def read_checkpoint(path: Path, family: str | None = None, trust: bool = False) -> Checkpoint:
    """The network in a PyTorch or safetensors file of another project. `family` is the project, if it cannot be
    recognised from the keys.

    Raises CheckpointError, naming the file, for one that is damaged, would run code (see `read_checkpoint_file`), is of
    no known family or of several, or whose tensors are not exactly those of the network; ConfigError for an unknown
    family.
    """
    content = read_checkpoint_file(path, trust)
    try:
        network, whose = recognize(content, family)
        architecture = network.layout.describe(network.tensors)
        options = {**whose.options, "input_size": architecture.input_size}
        check_colors(network.tensors, network.layout.markers[0])
        state = _network_state(network, whose, architecture, options)
        quality = _quality_state(network.tensors, whose, architecture.embedding_size)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    notes = network.notes
    if family is None and network.container not in whose.containers:
        notes.append(
            f"the weights are under {network.place!r}, which does not show their project: they are assumed to be "
            f"{whose.title}'s"
        )
    if whose.doubt and family is None:
        notes.append(whose.doubt)
    order = whose.color_order
    if whose.declared_order is not None:
        order, note = whose.declared_order(path)
        notes.append(note)
    if whose.name == "insightface" and family is None and not _is_frozen(state):
        notes.append(
            "features.weight is not 1 everywhere, as it is in InsightFace's models: the weights could be "
            "MagFace's, whose networks read BGR and other pixel values (--family magface)"
        )
    return Checkpoint(whose, architecture, options, order, state, quality, tuple(notes), network.others)


def _network_state(
    network: FoundNetwork, family: Family, architecture: Architecture, options: Mapping[str, Any]
) -> dict[str, Tensor]:
    """The tensors of the network as the state of the backbone, with floats as float32. Raises CheckpointError, which
    names tensors that are missing, unexpected or of another shape."""
    with blank_networks():
        expected = create_backbone(architecture.backbone, architecture.embedding_size, **options).state_dict()
    stored = {key: tensor for key, tensor in network.tensors.items() if key not in family.quality_keys}
    counters = {key for key in expected if key.endswith("num_batches_tracked")}  # older files do not have these tensors
    missing = expected.keys() - stored.keys() - counters
    if missing or (extra := stored.keys() - expected.keys()):
        what = f"{some_of(missing)} missing" if missing else f"{some_of(extra)} unexpected"
        raise CheckpointError(
            f"it looks like {architecture.backbone} ({network.layout.title}), but these tensors do not fit: {what}"
        )
    for key, tensor in stored.items():
        if tensor.shape != expected[key].shape:
            raise CheckpointError(
                f"{key} has shape {tensor.shape}, {architecture.backbone} expects {tuple(expected[key].shape)}"
            )
    return {key: _read(stored[key], key) if key in stored else torch.tensor(0) for key in expected}


def _quality_state(tensors: Tensors, family: Family, embedding_size: int) -> dict[str, Tensor] | None:
    if not family.quality_keys:
        return None
    shapes = {"linear.weight": (1, embedding_size), "linear.bias": (1,)}
    for key, quality_key in family.quality_keys.items():
        if tensors[key].shape != shapes[quality_key]:
            raise CheckpointError(f"{key} has shape {tensors[key].shape}, expected {shapes[quality_key]}")
    return {quality_key: _read(tensors[key], key) for key, quality_key in family.quality_keys.items()}


def _read(stored: StoredTensor, key: str) -> Tensor:
    """The values of a tensor, with floats as float32. Raises CheckpointError unless they are finite."""
    values = stored.read()
    if not values.is_floating_point():
        return values.clone()
    values = values.float()
    # both keep NaN, and are several times as fast as isfinite
    if values.numel() and not torch.stack(values.aminmax()).isfinite().all():
        raise CheckpointError(
            f"{key} has values that are not finite: the file is damaged, or its training diverged. Use another copy "
            "or checkpoint"
        )
    return values.contiguous()


def _is_frozen(state: Mapping[str, Tensor]) -> bool:
    weight_D = state.get("features.weight")
    return weight_D is None or bool((weight_D == 1).all())
