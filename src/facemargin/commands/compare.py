"""`facemargin compare RECIPE --heads …`: heads trained alike, in one table and one figure."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.markup import escape

from facemargin.commands._arguments import parse_with_recipe
from facemargin.comparison.plan import parse_heads, plan_runs
from facemargin.comparison.processes import complete_runs
from facemargin.comparison.result import ComparedSet, HeadComparison
from facemargin.comparison.run import ComparisonRun, is_complete, run_result, with_twins
from facemargin.data.open import open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import ConfigError
from facemargin.evaluation.folder import slug
from facemargin.files.atomic import write_text_atomically
from facemargin.report.compare_figure import comparison_figure
from facemargin.report.compare_table import comparison_markdown, legend, metric_table, notes, terminal_table
from facemargin.report.svg import figure_svg
from facemargin.training.config import Recipe
from facemargin.training.run_folder import RunFolder
from facemargin.training.trainer import report_overlap
from facemargin.training.training_images import open_training_images

_SOME_RUN_FAILED = 1


@dataclass(frozen=True)
class Arguments:
    """Train several heads with several seeds under the same budget and compare them on clean and degraded test faces.
    Every other field of the recipe can be set for all of them, as in `facemargin train`; for a smoke test, --limit 500
    trains on at most 500 images, of the first people. The same command continues what was stopped and skips what is
    finished."""

    heads: str
    """Margins, as in funface,adaface,magface:lambda_g=20 (a head's own settings after colons), or all."""
    seeds: int = 3
    """How many seeds each head is trained with, from the recipe's own on."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")] = ()
    """Test sets, as for `facemargin evaluate`; by default the recipe's validation.data."""
    scale: float | None = None
    """The scale s of every head that has a constant one; by default the recipe's or the margin's own."""
    jobs: int = 1
    """Runs at the same time, which share the CPU's threads."""
    overwrite: bool = False
    """Replace a comparison in the output that has heads, seeds or test sets which this one leaves out."""
    output: Path = Path("runs/compare")
    """Where to write: comparison.md, .json, .svg, and the folder HEAD/seed_N of every run."""


def main(arguments: Sequence[str]) -> int:
    recipe_name, args, overrides = parse_with_recipe(Arguments, "compare", "RECIPE --heads funface,adaface", arguments)
    for name, value in (("seeds", args.seeds), ("jobs", args.jobs)):
        if value < 1:
            raise ConfigError(f"--{name} is {value}, expected at least 1")
    console = Console()
    threads = max(1, torch.get_num_threads() // args.jobs)
    runs = plan_runs(
        recipe_name, overrides, parse_heads(args.heads), args.seeds, args.scale, args.data, args.output, threads
    )
    recipes = [run.load_recipe() for run in runs]
    sets = _open_sets(runs[0].data)
    _check_folders(runs, recipes)
    if not args.overwrite:
        require_nothing_lost(args.output, runs, sets)
    report_overlap(open_training_images(recipes[0], console), sets, console)
    _say_scales(recipes, console)
    tested = with_twins(sets)
    failures = complete_runs([run for run in runs if not is_complete(run, tested)], args.jobs, console)
    comparison = HeadComparison(
        heads=list(dict.fromkeys(run.head for run in runs)),
        seeds=list(dict.fromkeys(run.seed for run in runs)),
        sets=[_compared(clean, twin) for clean, twin in zip(tested[::2], tested[1::2], strict=True)],
        runs=[
            run_result(run, recipe, tested, failures.get(run.folder)) for run, recipe in zip(runs, recipes, strict=True)
        ],
    )
    _write(comparison, Path(recipe_name).stem, arguments, args.output)
    _show(comparison, args.output, console)
    return _SOME_RUN_FAILED if failures else 0


def _open_sets(data: Sequence[str]) -> list[VerificationSet]:
    """The test sets; ConfigError for two of one name, as their figures would be mixed up."""
    sets = [open_verification(name) for name in data]
    places = [slug(one.name) for one in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"more than one test set is called {twice[0]}: compare on one of them, or rename one")
    return sets


def _check_folders(runs: Sequence[ComparisonRun], recipes: Sequence[Recipe]) -> None:
    """Raise ConfigError where a run's folder already holds a run of another recipe."""
    for run, recipe in zip(runs, recipes, strict=True):
        folder = RunFolder(run.folder)
        if folder.metrics.exists():
            folder.check_same_recipe(recipe, exactly=True)


def require_nothing_lost(output: Path, runs: Sequence[ComparisonRun], sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError, naming what, where a comparison in `output` has heads, seeds or test sets that this one leaves
    out: more of any may be added."""
    path = output / "comparison.json"
    if not path.exists():
        return
    ours: dict[str, set[object]] = {
        "head": {run.head for run in runs},
        "seed": {run.seed for run in runs},
        "test set": {one.name for one in sets},
    }
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        theirs = {
            "head": before["heads"],
            "seed": before["seeds"],
            "test set": [one["clean"] for one in before["sets"]],
        }
        lost = [f"{kind} {one}" for kind, names in theirs.items() for one in names if one not in ours[kind]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path} is damaged: {error!r}; name another --output, or replace it: --overwrite") from error
    if lost:
        raise ConfigError(
            f"{path} has {', '.join(lost)}, which this comparison would leave out: add them, name another --output, or "
            "replace it with --overwrite"
        )


def _say_scales(recipes: Sequence[Recipe], console: Console) -> None:
    """Say where heads are compared with different constant scales, which is easily overlooked."""
    scales = {recipe.head.name: getattr(recipe.head, "scale", None) for recipe in recipes}
    constant = {name: scale for name, scale in scales.items() if scale is not None}
    if len(set(constant.values())) > 1:
        listed = ", ".join(f"{name} {scale:g}" for name, scale in constant.items())
        text = (
            f"the heads' scales differ ({listed}), which may matter more than their margins: --scale sets one for all"
        )
        console.print(f"[yellow]note:[/] {escape(text)}", highlight=False)


def _compared(clean: VerificationSet, twin: VerificationSet) -> ComparedSet:
    genuine = int(clean.same_K.sum())
    return ComparedSet(clean.name, twin.name, genuine, len(clean) - genuine)


def _write(comparison: HeadComparison, recipe: str, arguments: Sequence[str], output: Path) -> None:
    """comparison.md, .json and .svg, of which the last needs a run that did not fail."""
    # Of absolute paths only the last name: the files are made to be shown to others.
    words = [Path(word).name if Path(word).is_absolute() else word for word in arguments]
    command = shlex.join(["facemargin", "compare", *words])
    seeds = "one seed" if len(comparison.seeds) == 1 else f"{len(comparison.seeds)} seeds each"
    title = f"Heads compared on the recipe {recipe}, {seeds}"
    write_text_atomically(output / "comparison.md", comparison_markdown(comparison, title, command))
    content = {"command": command, **comparison.to_dict()}
    write_text_atomically(output / "comparison.json", json.dumps(content, indent=2, allow_nan=False))
    if len(comparison.failures()) < len(comparison.runs):
        svg = figure_svg(comparison_figure(comparison), "comparison", title)
        write_text_atomically(output / "comparison.svg", svg)


def _show(comparison: HeadComparison, output: Path, console: Console) -> None:
    for one in comparison.sets:
        for dataset in (one.clean, one.degraded):
            title = f"{dataset}: {one.genuine:,} genuine, {one.impostors:,} impostor pairs"
            console.print(terminal_table(metric_table(comparison, dataset, one.genuine), title))
    for text in (legend(comparison), *notes(comparison), f"written: {output / 'comparison.md'}, .json, .svg"):
        console.print(text, highlight=False, markup=False)
