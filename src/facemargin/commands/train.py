"""`facemargin train RECIPE`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from facemargin.commands._arguments import parse_with_recipe
from facemargin.commands._say import say
from facemargin.tables import Table
from facemargin.training.profile import PARTS, TrainingProfile, profile_training
from facemargin.training.recipe import load_recipe
from facemargin.training.trainer import train

_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Train a recipe. Every field of the recipe can be set, as in --epochs 3 --optimizer.learning-rate 0.05 --head.name
    adaface; `facemargin train RECIPE --fields` lists them. For a quick test, --limit 500 trains on at most 500 images,
    those of the first people."""

    output: Path | None = None
    """The folder of the run. The default is runs/RECIPE."""
    resume: bool = False
    """Continue the run in the folder exactly from its last checkpoint. Without a checkpoint, the run starts from the
    beginning."""
    fields: bool = False
    """List the fields of the recipe with their values, and stop."""
    profile: bool = False
    """Train a few steps, print how the time is spent, and stop. Nothing is written."""
    profile_steps: int = 20
    """The number of steps that --profile measures."""


def main(arguments: Sequence[str]) -> int:
    name, args, overrides = parse_with_recipe(Arguments, "train", "RECIPE --output runs/name", arguments)
    if args.fields:
        load_recipe(name, [*overrides, "--help"])
    recipe = load_recipe(name, overrides)
    if args.profile:
        profile = profile_training(recipe, args.profile_steps)
        if profile is not None:
            _print_profile(profile)
        return 0
    output = args.output or Path("runs") / Path(name).stem
    return 0 if train(recipe, output, args.resume, Console()) else _INTERRUPTED


def _print_profile(profile: TrainingProfile) -> None:
    """The parts of a step, the largest first, and the rate of whole steps."""
    inside = sum(profile.seconds.values())
    table = Table("part", "ms/step", "share", "what")
    for part, seconds in sorted(profile.seconds.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{1e3 * seconds:,.1f}", f"{seconds / inside:.1%}", PARTS[part])
    table.add_section()
    table.add_row("all", f"{1e3 * inside:,.1f}", "", "with the clock looking inside")
    table.add_row("whole step", f"{1e3 * profile.seconds_per_step:,.1f}", "", f"mean of {profile.steps} steps before")
    Console().print(table)
    memory = "" if profile.peak_memory is None else f"; {profile.peak_memory / 2**30:,.2f} GiB of the device at most"
    say(f"{profile.images_per_second:,.1f} images/s of all processes{memory}")
