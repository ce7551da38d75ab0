"""Where a run keeps what it writes, and what must hold to continue one.

recipe.yaml       the resolved recipe        metrics.csv, validation.csv    one row a logged step or validation
environment.json  machine and versions       checkpoints/                   what --resume continues from
model.safetensors the recogniser             head.safetensors               class centres and running statistics
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from facemargin.errors import CheckpointError, ConfigError
from facemargin.files.atomic import remove_partial_files, write_atomically, write_text_atomically
from facemargin.files.yaml import read_yaml, to_yaml
from facemargin.heads import Head
from facemargin.heads.sharding import shard_range
from facemargin.models.device import device_called
from facemargin.models.info import save_model
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from facemargin.training.config import CheckpointConfig, DataConfig, LoggingConfig, Recipe
from facemargin.training.device import repeatability
from facemargin.training.environment import environment
from facemargin.training.head_file import write_head
from facemargin.training.processes import ONE_PROCESS, Processes
from facemargin.training.recipe import model_info, recipe_from_mapping
from facemargin.training.state import TrainingState


class RunFolder:
    """The files of one run under `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.csv"
        self.validation = path / "validation.csv"
        self.checkpoints = path / "checkpoints"
        self.recording = path / "recording"
        self.model = path / "model.safetensors"
        self.head = path / "head.safetensors"

    def open(
        self,
        recipe: Recipe,
        resume: bool,
        processes: Processes = ONE_PROCESS,
        check: Callable[[dict[str, Any], Recipe], None] | None = None,
    ) -> dict[str, Any] | None:
        """Make the folder ready for `recipe`; returns the state to continue from, None to start. All processes call it,
        and each is given the rows of its own classes; one process writes. Before anything is written, the main process
        calls `check` with the state and the recipe that it followed.

        A run that stopped before it had anything to show is none. Raises ConfigError if there is a run already and
        `resume` is False, or if it followed another recipe, and CheckpointError if its checkpoints cannot be read or
        the folder cannot be written to.
        """

        def class_range_of(num_classes: int) -> tuple[int, int]:
            return shard_range(num_classes, processes.rank, processes.size)

        saved = None
        if processes.on_main(lambda: self._is_there(recipe, resume)):
            checkpoint = latest_checkpoint(self.checkpoints, processes, class_range_of)
            saved = None if checkpoint is None else checkpoint[1]
        if saved is not None and check is not None:
            processes.on_main(lambda: check(saved, self.followed_recipe()))
        processes.on_main(lambda: self._prepare(recipe, processes))
        return saved

    def _is_there(self, recipe: Recipe, resume: bool) -> bool:
        if not (self.metrics.exists() or checkpoint_steps(self.checkpoints)):
            return False
        if not resume:
            raise ConfigError(
                f"{self.path} already holds a run: add --resume to continue it, or choose another --output"
            )
        self.check_same_recipe(recipe)
        return True

    def _prepare(self, recipe: Recipe, processes: Processes) -> None:
        remove_partial_files(self.path)
        remove_partial_files(self.checkpoints)
        remove_partial_files(self.recording)
        write_text_atomically(self.recipe, to_yaml(recipe))
        self.write_environment({"processes": processes.size} if processes.size > 1 else {})

    def followed_recipe(self) -> Recipe:
        """The recipe in the folder; ConfigError where it cannot be read."""
        return recipe_from_mapping(read_yaml(self.recipe), str(self.recipe))

    def check_same_recipe(self, recipe: Recipe, exactly: bool = False) -> None:
        """Raise ConfigError, naming the fields, if the run in the folder followed another recipe. `exactly`: also
        where only epochs or the training set's place differ, with which a run may go on."""
        before, now = _what_matters(self.followed_recipe()), _what_matters(recipe)
        if not exactly:
            now = replace(now, epochs=before.epochs, data=replace(now.data, train=before.data.train))
        changed = _differences(before, now)
        if changed:
            raise ConfigError(
                f"{self.path} was started with another recipe; a resumed run must be the same one. "
                f"Different: {', '.join(changed)}. Use another --output for a new run"
            )

    def write_environment(self, more: dict[str, str | int | float]) -> None:
        """Write environment.json, with `more` beside what the machine says, and the recipe in the folder of its
        device."""
        recipe = self.followed_recipe()
        of_device = repeatability(device_called(recipe.device), recipe.deterministic)
        write_text_atomically(self.environment, json.dumps(environment() | of_device | more, indent=2))

    def export(self, state: TrainingState) -> None:
        """Write the recogniser, and the head that it was trained with, if there is one, each as one file. All processes
        call it."""
        info, processes = model_info(state.recipe), state.processes
        if isinstance(state.head, Head):
            write_head(self.head, state.head, info, processes)
        # last: whoever finds the model finds all of the run
        processes.on_main(
            lambda: write_atomically(self.model, lambda path: save_model(path, state.recognizer_state(), info))
        )

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
        recorder=False,
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
