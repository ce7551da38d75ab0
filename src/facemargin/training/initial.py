"""Where training starts from: the weights of a model that is there already, instead of random ones."""

import math
from pathlib import Path
from typing import Any

import torch

from facemargin.backbones import Backbone, backbone_options
from facemargin.counting import counted
from facemargin.data.images.normalization import normalization_text
from facemargin.errors import CheckpointError
from facemargin.heads import Head
from facemargin.interop import load_head
from facemargin.interop.input_convention import refit_input
from facemargin.interop.onnx_backbone import OnnxBackbone
from facemargin.models.info import ModelInfo
from facemargin.models.load import read_recognizer
from facemargin.models.recognizer import NoBackbone
from facemargin.training.average import WeightAverage
from facemargin.training.config import Recipe
from facemargin.training.recipe import model_info
from facemargin.training.state import TrainingState

# They do not change what a trained network computes.
_ONLY_TRAINING = {"dropout", "drop_channels", "train_features_weight"}


def load_initial(state: TrainingState) -> list[str]:
    """Give `state` the weights and class centres that its recipe names; returns what was loaded, for people.

    The network is refitted to read what facemargin trains with (see interop/input_convention.py). Raises
    CheckpointError, naming the file, where it cannot be read or is of another network or number of classes.
    """
    recipe, said = state.recipe, []
    if recipe.initial.weights:
        said += _load_weights(state, recipe)
    if recipe.initial.head and isinstance(state.head, Head):  # a recipe of a reconstruction alone cannot name one
        loaded = load_head(Path(recipe.initial.head), state.head)
        statistics = f", and {', '.join(loaded.statistics)}" if loaded.statistics else ""
        people = counted(loaded.num_classes, "person", "people")
        said.append(f"class centres of {people} from {recipe.initial.head}{statistics}")
    return said


def _load_weights(state: TrainingState, recipe: Recipe) -> list[str]:
    where = recipe.initial.weights
    recognizer, info, notes = read_recognizer(where, recipe.initial.family)
    if isinstance(recognizer.backbone, NoBackbone | OnnxBackbone):
        raise CheckpointError(f"{where} holds no network that can be trained")
    if recognizer.reconstructor is not None or state.recognizer.reconstructor is not None:
        raise CheckpointError(
            f"initial.weights is {where}, but a recogniser that is trained jointly with a face reconstruction reads "
            "other channels: set reconstruction.mode to none"
        )
    _check_same_network(where, info, model_info(recipe))
    refit_input(recognizer.backbone, info.color_order, info.mean, info.std)
    _copy(recognizer.backbone, state.recognizer.backbone)
    parts = info.backbone or ""
    if recognizer.quality is not None and state.recognizer.quality is not None:
        state.recognizer.quality.load_state_dict(recognizer.quality.state_dict())
        parts += " and its quality layer"
    if state.average is not None:
        state.average = WeightAverage(state.recognizer, recipe.ema_decay)
    convention = ""
    if (info.color_order, info.mean, info.std) != ("RGB", 127.5, 127.5):
        convention = f", refitted from {info.color_order} and {normalization_text(info.mean, info.std)}"
    return [f"weights of {parts} from {where}{convention}", *notes]


def _copy(source: Backbone, target: Backbone) -> None:
    with torch.no_grad():
        target.load_state_dict(source.state_dict())


def _check_same_network(where: str, stored: ModelInfo, wanted: ModelInfo) -> None:
    """CheckpointError that says which fields of the recipe to set."""
    theirs, ours = _network(stored), _network(wanted)
    different = [
        f"--backbone.{name.replace('_', '-')} {theirs.get(name)} (the recipe has {ours.get(name)})"
        for name in theirs  # what only another backbone's options have is dropped with its name
        if not _equal(theirs.get(name), ours.get(name))
    ]
    if different:
        raise CheckpointError(f"{where} holds another network than the recipe: set {', '.join(different)}")


def _network(info: ModelInfo) -> dict[str, Any]:
    options = {**(backbone_options(info.backbone) if info.backbone else {}), **info.options}
    kept = {name: value for name, value in options.items() if name not in _ONLY_TRAINING}
    return {"name": info.backbone, "embedding_size": info.embedding_size, **kept}


def _equal(option: Any, other: Any) -> bool:
    if isinstance(option, float) and isinstance(other, float):
        return math.isclose(option, other)
    if isinstance(option, list | tuple) and isinstance(other, list | tuple):
        return list(option) == list(other)
    return bool(option == other)
