"""`facemargin compare RECIPE --heads …`: compares heads that are trained with the same recipe, in one table and one
figure."""

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
from facemargin.commands._compared_scores import place_figures
from facemargin.commands._say import say
from facemargin.comparison.plan import parse_heads, plan_runs
from facemargin.comparison.processes import complete_runs
from facemargin.comparison.result import ComparedSet, HeadComparison
from facemargin.comparison.run import ComparisonRun, differences_of, is_complete, run_result, with_twins
from facemargin.data.open import open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import ConfigError
from facemargin.evaluation.folder import slug
from facemargin.files.atomic import write_text_atomically
from facemargin.report import write_run_report
from facemargin.report.compare_figure import comparison_figure
from facemargin.report.compare_table import (
    comparison_markdown,
    difference_table,
    difference_title,
    legend,
    metric_table,
    notes,
    terminal_table,
)
from facemargin.report.svg import figure_svg
from facemargin.training.config import Recipe
from facemargin.training.recipe import check_networks
from facemargin.training.run_folder import RunFolder
from facemargin.training.trainer import report_overlap
from facemargin.training.training_images import open_training_images

_SOME_RUN_FAILED = 1


@dataclass(frozen=True)
class Arguments:
    """Train several heads with several seeds by the same recipe and compare them on clean and degraded test faces.
    Every other field of the recipe can be set for all of them, as in `facemargin train`. For a quick test, --limit 500
    trains on at most 500 images, those of the first people. After an interruption, the same command continues and skips
    finished runs."""

    heads: str
    """Margins, such as funface,adaface,magface:lambda_g=20 (settings of a head follow after colons), or all."""
    seeds: int = 3
    """The number of seeds for each head, counting up from the seed of the recipe."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")] = ()
    """Test sets, as for `facemargin evaluate`; by default the recipe's validation.data."""
    scale: float | None = None
    """The scale s of every head with a constant scale. The default is that of the recipe or the margin."""
    jobs: int = 1
    """The number of runs at the same time. They share the CPU threads."""
    overwrite: bool = False
    """Replace an existing comparison in the output, even if it has heads, seeds or test sets that this one does not
    have."""
    output: Path = Path("runs/compare")
    """The output folder for comparison.md, .json, .svg, report.html, and the folder HEAD/seed_N of every run."""


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
    check_networks(recipes[0])  # the runs differ in the head's settings, which are checked already, and the seed
    sets = _open_sets(runs[0].data)
    _check_folders(runs, recipes)
    if not args.overwrite:
        require_nothing_lost(args.output, runs, sets)
    report_overlap(open_training_images(recipes[0], console), sets, console)
    _say_scales(recipes, console)
    tested = with_twins(sets)
    place_figures(runs, tested, args.overwrite)
    failures = complete_runs([run for run in runs if not is_complete(run, tested)], args.jobs, console)
    results = [
        run_result(run, recipe, tested, failures.get(run.folder)) for run, recipe in zip(runs, recipes, strict=True)
    ]
    comparison = HeadComparison(
        heads=list(dict.fromkeys(run.head for run in runs)),
        seeds=list(dict.fromkeys(run.seed for run in runs)),
        sets=[_compared(clean, twin) for clean, twin in zip(tested[::2], tested[1::2], strict=True)],
        runs=results,
        differences={test_set.name: differences_of(runs, results, test_set) for test_set in tested},
    )
    _write(comparison, Path(recipe_name).stem, arguments, args.output)
    _show(comparison, args.output, console)
    if len(comparison.failures()) < len(runs):
        say(f"report of all runs: {write_run_report(args.output)}")
    return _SOME_RUN_FAILED if comparison.failures() else 0


def _open_sets(data: Sequence[str]) -> list[VerificationSet]:
    """The test sets. Raises ConfigError for two sets with the same name, because their figures would be mixed up."""
    sets = [open_verification(name) for name in data]
    places = [slug(test_set.name) for test_set in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"several test sets are called {twice[0]}: use one of them, or rename one")
    return sets


def _check_folders(runs: Sequence[ComparisonRun], recipes: Sequence[Recipe]) -> None:
    """Raise ConfigError if the folder of a run already has a run of another recipe."""
    for run, recipe in zip(runs, recipes, strict=True):
        folder = RunFolder(run.folder)
        if folder.metrics.exists():
            folder.check_same_recipe(recipe, exactly=True)


def require_nothing_lost(output: Path, runs: Sequence[ComparisonRun], sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError, which names them, if a comparison in `output` has heads, seeds or test sets that this one does
    not have. Adding more is allowed."""
    path = output / "comparison.json"
    if not path.exists():
        return
    ours: dict[str, set[object]] = {
        "head": {run.head for run in runs},
        "seed": {run.seed for run in runs},
        "test set": {name.name for name in sets},
    }
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        theirs = {
            "head": before["heads"],
            "seed": before["seeds"],
            "test set": [name["clean"] for name in before["sets"]],
        }
        lost = [f"{kind} {name}" for kind, names in theirs.items() for name in names if name not in ours[kind]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is damaged: {error!r}; give another --output, or replace it with --overwrite"
        ) from error
    if lost:
        raise ConfigError(
            f"{path} has {', '.join(lost)}, which this comparison would delete: add them, give another --output, "
            "or replace it with --overwrite"
        )


def _say_scales(recipes: Sequence[Recipe], console: Console) -> None:
    """Print a note if heads are compared with different constant scales, which is easily overlooked."""
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
    """Write comparison.md, .json and .svg. The .svg needs at least one run that did not fail."""
    # Absolute paths are shortened to their last name, because these files are made to be published.
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
    for test_set in comparison.sets:
        for dataset in (test_set.clean, test_set.degraded):
            title = f"{dataset}: {test_set.genuine:,} genuine, {test_set.impostors:,} impostor pairs"
            console.print(terminal_table(metric_table(comparison, dataset, test_set.genuine), title))
            differences = difference_table(comparison, dataset)
            if differences is not None:
                console.print(terminal_table(differences, difference_title(comparison, dataset)))
    for text in (legend(comparison), *notes(comparison), f"written: {output / 'comparison.md'}, .json, .svg"):
        console.print(text, highlight=False, markup=False)
