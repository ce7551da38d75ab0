"""`facemargin demo`: trains FunFace on the embedded faces, evaluates it on other people, and writes the report."""

import csv
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console

from facemargin.commands._arguments import parse_known
from facemargin.commands._say import say
from facemargin.commands._scoring import score_systems
from facemargin.commands.evaluate import PCA_COMPONENTS
from facemargin.data.formats.orl import EmbeddedFaces, FaceSquares, embedded_verification_set
from facemargin.errors import ConfigError
from facemargin.evaluation import Embed, VerificationSummary, fit_pca_embed, fit_pixel_embed
from facemargin.models.load import load
from facemargin.quality.degradation import degraded_twin
from facemargin.report import write_run_report
from facemargin.tables import Table
from facemargin.training.config import Recipe
from facemargin.training.recipe import load_recipe
from facemargin.training.run_folder import RunFolder
from facemargin.training.trainer import train

# The people for training and for testing. "dev" is for development; every look at "test" is logged.
SPLITS = {"test": (range(1, 31), range(31, 41)), "dev": (range(1, 25), range(25, 31))}
_INTERRUPTED = 130


@dataclass(frozen=True)
class Arguments:
    """Train FunFace on the embedded ORL faces and evaluate it on other people. Fields of the recipe can be set, as in
    `facemargin train demo`: --seed 1 --epochs 50."""

    output: Path = Path("runs/demo")
    """The folder of the run. An earlier demo in it is replaced."""
    split: Literal["test", "dev"] = "test"
    """"test": people 31–40, trained on 1–30; "dev": people 25–30, trained on 1–24."""


def main(arguments: Sequence[str]) -> int:
    args, overrides = parse_known(Arguments, "demo", arguments)
    started = time.monotonic()
    console = Console()
    train_people, test_people = SPLITS[args.split]
    recipe = load_recipe("demo", overrides)
    recipe = replace(recipe, data=replace(recipe.data, train=f"orl-full:{train_people[0]}-{train_people[-1]}"))
    _clear(args.output)
    if not train(recipe, args.output, console=console):
        return _INTERRUPTED
    trained = time.monotonic()
    summaries = evaluate_demo(args.output, train_people, test_people, recipe.device)
    if args.split == "test":
        _log_look(args.output.parent / "test_looks.csv", recipe, summaries[0][0])
    RunFolder(args.output).write_environment(
        {
            "seconds of training": round(trained - started, 1),
            "seconds of evaluation": round(time.monotonic() - trained, 1),
        }
    )
    report = write_run_report(args.output)
    for of_set in summaries:
        console.print(demo_table(of_set))
    say(f"{time.monotonic() - started:.0f} s in all; report: {report}")
    return 0


def evaluate_demo(
    folder: Path, train_people: range, test_people: range, device: str = "auto"
) -> list[list[VerificationSummary]]:
    """Score the model of the run and the baselines on the test people, clean and degraded. Returns one list of
    summaries per set.

    The model reads whole frames. The baselines read both whole frames and the usual squares around the face.
    """
    frames, squares = (EmbeddedFaces(train_people, square=square) for square in (False, True))
    systems: dict[str, Embed] = {
        "facemargin": load(folder, device, precision="float32").embed,
        "raw pixels": on_squares(fit_pixel_embed(squares)),
        "raw pixels (whole frame)": fit_pixel_embed(frames),
        "PCA": on_squares(fit_pca_embed(squares, PCA_COMPONENTS)),
        "PCA (whole frame)": fit_pca_embed(frames, PCA_COMPONENTS),
    }
    clean = embedded_verification_set(test_people, square=False)
    return [score_systems(systems, pairs, folder) for pairs in (clean, degraded_twin(clean))]


def on_squares(embed: Embed) -> Embed:
    """`embed` on the squares around the faces of whole frames."""
    return lambda images: embed(FaceSquares(images))


def demo_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row per system of one set: TAR at each FAR and best balanced accuracy."""
    fars = [point.target_far for point in summaries[0].tar_at_far.points][::-1]
    table = Table("system", *(f"TAR @\nFAR {far:g}" for far in fars), "best balanced\naccuracy")
    table.title = f"{summaries[0].dataset}: {summaries[0].genuine} genuine, {summaries[0].impostors:,} impostor pairs"
    for summary in summaries:
        tars = [f"{point.tar:.3f}" for point in summary.tar_at_far.points][::-1]
        table.add_row(summary.system, *tars, f"{summary.balanced_accuracy.value:.3f}")
    return table


def _clear(folder: Path) -> None:
    """Remove an earlier demo. Raises ConfigError for a folder with anything else."""
    if not folder.exists():
        return
    recipe = RunFolder(folder).recipe
    if any(folder.iterdir()) and not (recipe.exists() and "orl-full:" in recipe.read_text(encoding="utf-8")):
        raise ConfigError(f"{folder} is not an earlier demo, so it is not replaced; choose another --output")
    shutil.rmtree(folder)


def _log_look(path: Path, recipe: Recipe, summary: VerificationSummary) -> None:
    """Log this look at the test people, so that tuning on them can be noticed."""
    tars = {f"tar_at_far_{point.target_far:g}": point.tar for point in summary.tar_at_far.points}
    row = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "seed": recipe.seed,
        "epochs": recipe.epochs,
        **tars,
        "balanced_accuracy": summary.balanced_accuracy.value,
    }
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
