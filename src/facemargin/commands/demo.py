"""`facemargin demo`: tries a released recogniser on embedded faces, trains FunFace on others of them, evaluates it on
the same people, and writes the report."""

import csv
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console

from facemargin.commands._arguments import parse_known
from facemargin.commands._demo_quality import check_shown
from facemargin.commands._demo_released import NAME, ReleasedResult, open_released, try_released
from facemargin.commands._demo_summary import left_out, summary_lines
from facemargin.commands._origin import making, model_origin
from facemargin.commands._say import say
from facemargin.commands._scoring import score_systems
from facemargin.commands.evaluate import PCA_COMPONENTS
from facemargin.data.formats.orl import (
    IMAGES_PER_PERSON,
    ORL_CREDIT,
    EmbeddedFaces,
    FaceSquares,
    embedded_verification_set,
)
from facemargin.errors import ConfigError
from facemargin.evaluation import Embed, VerificationSummary, fit_pca_embed, fit_pixel_embed
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.folder import RELEASED_FOLDER, SUMMARY_FILE, evaluation_folder, slug
from facemargin.evaluation.number_format import measured_rate
from facemargin.evaluation.origin import images_origin, note_origin, set_origin
from facemargin.files.atomic import write_text_atomically
from facemargin.models.load import load
from facemargin.quality.degradation import degraded_twin
from facemargin.report import write_run_report
from facemargin.report.checked_section import verdict
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
    """Let a released recogniser (sface, if it is installed) compare and decide on people of the embedded ORL faces;
    then train FunFace on others of them and evaluate it on the same people. Fields of the recipe can be set, as in
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
    released = _released(args.output, test_people, recipe.device, console)
    tried = time.monotonic()
    if not train(recipe, args.output, console=console):
        return _INTERRUPTED
    trained = time.monotonic()
    summaries, check = evaluate_demo(args.output, train_people, test_people, recipe.device)
    if args.split == "test":
        _log_look(args.output.parent / "test_looks.csv", recipe, summaries[0][0])
    RunFolder(args.output).write_environment(
        {
            "seconds with the released recogniser": round(tried - started, 1),
            "seconds of training": round(trained - tried, 1),
            "seconds of evaluation": round(time.monotonic() - trained, 1),
        }
    )
    lines = summary_lines(summaries[0][0], check, train_people, len(train_people) * IMAGES_PER_PERSON, released)
    write_text_atomically(args.output / SUMMARY_FILE, "\n".join(lines) + "\n")
    report = write_run_report(args.output)
    for of_set in summaries:
        console.print(demo_table(of_set))
    for line in lines:
        say(line)
    say(f"{time.monotonic() - started:.0f} s in all; report: {report}")
    return 0


def _released(folder: Path, people: range, device: str, console: Console) -> ReleasedResult | str:
    """What the released recogniser showed, or why it was left out."""
    opened = open_released(device)
    if isinstance(opened, str):
        say(left_out(opened), "note")
        return opened
    result = try_released(opened, people, folder)
    console.print(sets_table(result.summaries))
    say(verdict(result.check, NAME))
    if result.decisions is not None:
        for one in result.decisions.examples:
            qualities = f"{one.quality_a:.1f} and {one.quality_b:.1f}"
            say(f"{one.caption}: score {one.score:.2f}, qualities {qualities}: {one.decision}")
        say(
            f"(same from {result.decisions.threshold:.3f} on, FMR {result.decisions.fmr:g}; quality enough from "
            f"{result.decisions.quality_floor:.3g} on; measured on {result.decisions.measured_on})"
        )
        if result.decisions.doubt:
            say(result.decisions.doubt, "note")
    return result


def evaluate_demo(
    folder: Path, train_people: range, test_people: range, device: str = "auto"
) -> tuple[list[list[VerificationSummary]], QualityCheck]:
    """Score the model of the run and the baselines on the test people, clean and degraded, and check the model's
    quality. Returns one list of summaries per set, and the check.

    The model reads whole frames. The baselines read both whole frames and the usual squares around the face.
    """
    frames, squares = (EmbeddedFaces(train_people, square=square) for square in (False, True))
    model = load(folder, device, precision="float32")
    systems: dict[str, Embed] = {
        "facemargin": model.embed,
        "raw pixels": on_squares(fit_pixel_embed(squares)),
        "raw pixels (whole frame)": fit_pixel_embed(frames),
        "PCA": on_squares(fit_pca_embed(squares, PCA_COMPONENTS)),
        "PCA (whole frame)": fit_pca_embed(frames, PCA_COMPONENTS),
    }
    clean = embedded_verification_set(test_people, square=False)
    sets = (clean, degraded_twin(clean))
    summaries = [score_systems(systems, pairs, folder) for pairs in sets]
    learnt_nothing = {slug(name): images_origin(frames) for name in systems if name != "facemargin"}
    origins = {"facemargin": model_origin(folder, model)} | learnt_nothing
    made = {name: making("none" if name in learnt_nothing else model.info.loss) for name in origins}
    for pairs in sets:
        note_origin(evaluation_folder(folder, pairs.name), set_origin(pairs), origins, made)
    check, _ = check_shown(model, EmbeddedFaces(test_people, square=False), folder, ORL_CREDIT)
    return summaries, check


def on_squares(embed: Embed) -> Embed:
    """`embed` on the squares around the faces of whole frames."""
    return lambda images: embed(FaceSquares(images))


def demo_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row per system of one set: TAR at each FAR and best balanced accuracy."""
    table = _table("system", {summary.system: summary for summary in summaries})
    table.title = f"{summaries[0].dataset}: {summaries[0].genuine} genuine, {summaries[0].impostors:,} impostor pairs"
    return table


def sets_table(summaries: Sequence[VerificationSummary]) -> Table:
    """One row per set of one system."""
    table = _table("pairs", {summary.dataset: summary for summary in summaries})
    table.title = summaries[0].system
    return table


def _table(rows: str, summaries: Mapping[str, VerificationSummary]) -> Table:
    fars = [point.target_far for point in next(iter(summaries.values())).tar_at_far.points][::-1]
    table = Table(rows, *(f"TAR @\nFAR {far:g}" for far in fars), "best balanced\naccuracy")
    for name, summary in summaries.items():
        tars = [measured_rate(point.tar, summary.genuine) for point in summary.tar_at_far.points][::-1]
        table.add_row(name, *tars, measured_rate(summary.balanced_accuracy.value, summary.genuine))
    return table


def _clear(folder: Path) -> None:
    """Remove an earlier demo. Raises ConfigError for a folder with anything else."""
    if not folder.exists():
        return
    recipe = RunFolder(folder).recipe
    there = {path.name for path in folder.iterdir()}
    is_demo = recipe.exists() and "orl-full:" in recipe.read_text(encoding="utf-8")
    if not is_demo and there - {RELEASED_FOLDER}:  # all that one has that was stopped before its training
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
