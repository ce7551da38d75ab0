"""Where the time of a training step goes: what `facemargin train --profile` measures."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace

import torch

from facemargin.counting import counted
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.errors import ConfigError
from facemargin.timing import Stopwatch, section, timed
from facemargin.training.batches import TrainingBatches
from facemargin.training.config import Recipe
from facemargin.training.prepared import PreparedBatch, prepared_ahead
from facemargin.training.processes import processes_of
from facemargin.training.recipe import check_networks
from facemargin.training.shared_memory import worker_deaths_explained
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from facemargin.training.step_result import StepResult
from facemargin.training.training_images import open_training_images

PARTS = {
    "data": "waiting for images to be read, decoded and augmented",
    "transfer": "copying them to the device, normalising, and augmenting where the device does",
    "backbone": "forward and backward",
    "head": "forward and backward of everything from the features to the loss",
    "optimizer": "clipping, update, running average",
    "communication": "exchanges with other processes that nothing hides, and waiting for the slowest",
    "other": "everything else",
}

# Kernels are chosen, workers start and buffers are made in the first steps.
_WARM_UP_STEPS = 5


@dataclass(frozen=True)
class TrainingProfile:
    """Of this process: `seconds` a step by part (see PARTS), and whole steps timed without looking inside: `images` of
    all processes and `seconds_per_step`. `peak_memory` is the device's in bytes, None on a CPU."""

    steps: int
    images: float
    seconds_per_step: float
    seconds: dict[str, float]
    peak_memory: int | None

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds_per_step


def profile_training(recipe: Recipe, steps: int = 20) -> TrainingProfile | None:
    """Train a few steps of `recipe` and measure them; nothing is written or kept. None in all but the main process.

    `steps` are timed as they are, then as many with the clock looking inside, which on a GPU makes the host wait at
    every change of part and so adds up what otherwise overlaps. Raises ConfigError for less than one step.
    """
    if steps < 1:
        raise ConfigError(f"a profile of {counted(steps, 'step')}: expected at least 1")
    with processes_of(recipe) as processes:
        check_networks(recipe)
        images = processes.together(lambda: open_training_images(recipe))
        if recipe.data.synthetic_identities:
            images = WithSyntheticIdentities(images, recipe.data.synthetic_identities)
        all_steps = _WARM_UP_STEPS + 2 * steps
        seen = recipe.epochs * len(images) // processes.size  # by the training that is profiled
        recipe = replace(recipe, epochs=max(recipe.epochs, all_steps))  # of a step each, at least
        state = TrainingState(recipe, images.num_identities, processes, seen)
        batches = prepared_ahead(state, TrainingBatches(images, state).loader())
        with worker_deaths_explained(), closing(batches):
            profile = _measure(state, batches, steps)
        return profile if processes.is_main else None


def _measure(state: TrainingState, batches: Iterator[PreparedBatch], steps: int) -> TrainingProfile:
    device = state.device
    _take(state, batches, _WARM_UP_STEPS)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        torch.cuda.synchronize(device)
    started = time.perf_counter()
    images = _take(state, batches, steps)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elapsed = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    stopwatch = Stopwatch(device)
    with timed(stopwatch):
        _take(state, batches, steps)
    seconds = {part: stopwatch.seconds.get(part, 0.0) / steps for part in PARTS}
    return TrainingProfile(steps, images / steps, elapsed / steps, seconds, peak)


def _take(state: TrainingState, batches: Iterator[PreparedBatch], steps: int) -> float:
    """Take steps; how many images all processes saw."""
    seen = 0
    before: StepResult | None = None
    for _ in range(steps):
        with section("data"):
            batch = next(batches)
        result = training_step(state, batch, state.recipe.optimizer.learning_rate)
        if before is not None:
            before.check()  # one step late, as in training
        before = result
        seen += len(batch)
    if before is not None:
        before.check()
    return state.processes.sum([seen])[0]
