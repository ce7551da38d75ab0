"""Small training states and batches for tests."""

from typing import Any

import numpy as np
import torch

from facemargin.data.training_set import TrainingBatch
from facemargin.training.config import Recipe
from facemargin.training.processes import Processes
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.state import TrainingState

MAPPING: dict[str, Any] = {
    "head": {"name": "cosface", "scale": 8.0, "margin": 0.2},
    "backbone": {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 8},
    "data": {"train": "orl:1-3"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "epochs": 4,
    "batch_size": 8,
    "precision": "float32",
    "channels_last": False,
}


def tiny_recipe(**changes: Any) -> Recipe:
    """MAPPING with `changes` as a Recipe; a dict merges into the section of that name, or replaces it if it names
    another margin or network."""
    mapping = dict(MAPPING)
    for key, value in changes.items():
        merges = isinstance(value, dict) and "name" not in value
        mapping[key] = {**mapping.get(key, {}), **value} if merges else value
    return recipe_from_mapping(mapping, "the test")


def tiny_state(processes: Processes | None = None, num_classes: int = 3, **changes: Any) -> TrainingState:
    return TrainingState(tiny_recipe(**changes), num_classes, processes or torch.device("cpu"))


def without_batch_norm(state: TrainingState) -> TrainingState:
    """Its batch norms use their running statistics, so that samples of a batch do not influence each other."""
    for module in state.recognizer.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign]
            module.training = False
    return state


def random_batch(labels, size: int = 16, seed: int = 0) -> TrainingBatch:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (len(labels), 3, size, size), dtype=np.uint8)
    return TrainingBatch(
        images_BCHW=torch.from_numpy(images),
        labels_B=torch.tensor(labels, dtype=torch.int64),
        indices_B=torch.arange(len(labels)),
        corrupt=[],
    )


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    """Copies of everything a step may change in the recogniser and the head."""
    parts = {"recogniser": state.recognizer, "head": state.head}
    return {f"{part}.{key}": value.clone() for part, m in parts.items() for key, value in m.state_dict().items()}
