"""Where a run keeps what it writes, and what must hold to continue one.

recipe.yaml       the resolved recipe        metrics.csv, validation.csv    one row a logged step or validation
environment.json  machine and versions       checkpoints/                   what --resume continues from
model.safetensors the recogniser             head.safetensors               class centres and running statistics
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from facemargin.atomic import remove_partial_files, write_atomically, write_text_atomically
from facemargin.errors import CheckpointError, ConfigError
from facemargin.inference.model_file import save_model
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from facemargin.training.config import CheckpointConfig, DataConfig, LoggingConfig, Recipe
from facemargin.training.environment import environment
from facemargin.training.recipe import model_info, recipe_from_mapping
from facemargin.training.state import TrainingState
from facemargin.training.strict_yaml import read_yaml, to_yaml


class RunFolder:
    """The files of one run under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.csv"
        self.validation = path / "validation.csv"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model.safetensors"
        self.head = path / "head.safetensors"

    def open(self, recipe: Recipe, resume: bool) -> dict[str, Any] | None:
        """Make the folder ready for `recipe`; returns the state to continue from, None to start.

        A run that stopped before it had anything to show is none. Raises ConfigError if there is a run already and
        `resume` is False, or if it followed another recipe, and CheckpointError if its checkpoints cannot be read or
        the folder cannot be written to.
        """
        saved = None
        if self.metrics.exists() or checkpoint_steps(self.checkpoints):
            if not resume:
                raise ConfigError(
                    f"{self.path} already holds a run: add --resume to continue it, or choose another --output"
                )
            self.check_same_recipe(recipe)
            found = latest_checkpoint(self.checkpoints)
            saved = found[1] if found else None
        remove_partial_files(self.path)
        remove_partial_files(self.checkpoints)
        write_text_atomically(self.recipe, to_yaml(recipe))
        self.write_environment({})
        return saved

    def check_same_recipe(self, recipe: Recipe) -> None:
        """Raise ConfigError, naming the fields, if the run in the folder followed another recipe."""
        before = recipe_from_mapping(read_yaml(self.recipe), str(self.recipe))
        changed = _differences(_what_matters(before), _what_matters(recipe))
        if changed:
            raise ConfigError(
                f"{self.path} was started with another recipe; a resumed run must be the same one. "
                f"Different: {', '.join(changed)}. Use another --output for a new run"
            )

    def write_environment(self, more: dict[str, str | int | float]) -> None:
        """Write environment.json, with `more` beside what the machine says."""
        write_text_atomically(self.environment, json.dumps(environment() | more, indent=2))

    def export(self, state: TrainingState) -> None:
        """Write the recogniser, and the head that it was trained with, if there is one."""
        info = model_info(state.recipe)
        write_atomically(self.model, lambda path: save_model(path, state.recogniser_state(), info))
        if state.head is not None:
            head_state = state.head.state_dict()
            write_atomically(self.head, lambda path: save_model(path, head_state, info))

    def require_model(self) -> Path:
        """The recogniser's file; CheckpointError where the run has not written one."""
        if not self.model.exists():
            raise CheckpointError(f"{self.path} holds no model yet")
        return self.model


def _what_matters(recipe: Recipe) -> Recipe:
    """The recipe without what does not change the result."""
    return replace(
        recipe,
        checkpoint=CheckpointConfig(),
        logging=LoggingConfig(),
        data=replace(recipe.data, workers=DataConfig().workers, cache_decoded=False),
        description="",
    )


def _differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    names = []
    for name, value in vars(before).items():
        other = getattr(after, name, None)
        if hasattr(value, "__dataclass_fields__") and hasattr(other, "__dataclass_fields__"):
            names += _differences(value, other, f"{prefix}{name}.")
        elif value != other:
            names.append(f"{prefix}{name} ({value!r} -> {other!r})")
    return names
