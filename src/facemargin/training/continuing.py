"""What must hold for a run to go on from its checkpoint, and what is said of it."""

import logging
from typing import Any

from rich.console import Console

from facemargin.counting import counted
from facemargin.data.source import LabeledImages
from facemargin.errors import ConfigError
from facemargin.training.config import Recipe
from facemargin.training.data_fingerprint import DataFingerprint
from facemargin.training.schedule import learning_rate_factor

logger = logging.getLogger(__name__)


def steps_per_epoch(recipe: Recipe, images: LabeledImages) -> int:
    """Optimizer steps of an epoch over `images` and the people made of them."""
    return len(images) * (len(recipe.data.synthetic_identities) + 1) // recipe.batch_size


def check_continues(
    saved: dict[str, Any],
    before: Recipe,
    recipe: Recipe,
    images: LabeledImages,
    fingerprint: DataFingerprint,
    console: Console,
) -> None:
    """ConfigError unless the run of `before` with the checkpoint `saved` can go on as `recipe`, on `images`.

    The training set may lie elsewhere: its people, labels and images decide. There may be more epochs; what that does
    to the learning rate is said.
    """
    if "training_set" in saved:
        DataFingerprint.from_dict(saved["training_set"]).require_same(fingerprint, images)
    elif before.data.train != recipe.data.train:
        raise ConfigError(
            f"the run was started with data.train {before.data.train!r}, now it is {recipe.data.train!r}, and its "
            "checkpoint, of an earlier version, does not say whether these are the same images: name them as before"
        )
    else:
        logger.warning(
            "the checkpoint is of an earlier version and does not say which people and images it was trained on: that "
            "%s still holds the same is taken for granted",
            images.name,
        )
    _check_epochs(saved["step"], before, recipe, steps_per_epoch(recipe, images), console)


def _check_epochs(step: int, before: Recipe, recipe: Recipe, per_epoch: int, console: Console) -> None:
    if step > recipe.epochs * per_epoch:
        raise ConfigError(
            f"epochs is {recipe.epochs}, {counted(recipe.epochs * per_epoch, 'step')}, but the run is at step {step} "
            f"already: expected at least {counted(-(-step // max(per_epoch, 1)), 'epoch')}"
        )
    if before.epochs == recipe.epochs:
        return
    schedule = recipe.schedule
    was, now = (_learning_rate(recipe, step, per_epoch, epochs) for epochs in (before.epochs, recipe.epochs))
    if schedule.name == "step":
        milestones = ", ".join(f"{milestone:g}" for milestone in schedule.milestones)
        meaning = f"the step schedule goes on as it was, with its milestones at epochs {milestones}"
    else:
        meaning = (
            f"the {schedule.name} schedule now falls over {recipe.epochs} epochs, so that the learning rate goes on at "
            f"{now:.4g} where it was {was:.4g}: the run is not one that had {recipe.epochs} epochs from the start"
        )
    console.print(f"epochs {before.epochs} -> {recipe.epochs}: {meaning}", highlight=False, markup=False)


def _learning_rate(recipe: Recipe, step: int, per_epoch: int, epochs: int) -> float:
    """The learning rate at `step` of a run of so many `epochs`."""
    return recipe.optimizer.learning_rate * learning_rate_factor(recipe.schedule, step, per_epoch, epochs)
