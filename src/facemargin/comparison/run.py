"""One run of a comparison: one head with one seed is trained and scored. Steps that are done already are skipped."""

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from facemargin.comparison.head_differences import HeadDifferences, head_differences
from facemargin.comparison.result import HeadRun, metric_values
from facemargin.data.open import open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.evaluation import evaluate_verification, summarize
from facemargin.evaluation.folder import evaluation_folder, slug
from facemargin.evaluation.origin import set_origin
from facemargin.evaluation.scores import PairScores
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.files.columns import read_columns
from facemargin.margins import margin_class
from facemargin.models.load import load
from facemargin.quality.degradation import degraded_twin
from facemargin.training.config import HeadConfig, Recipe
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.run_folder import RunFolder
from facemargin.training.trainer import train

SECONDS_OF_TRAINING = "seconds of training"

# How many images of a test set go into its fingerprint, which every run of a comparison computes.
_IMAGES_LOOKED_AT = 4


@dataclass(frozen=True)
class ComparisonRun:
    """The task of one run, in plain values that can be sent to another process.

    `recipe` is the YAML of the comparison, read from `where`. `overrides` set the head and the seed. `data` are the
    names of the test sets. `threads` is the number of CPU threads that the run may use.
    """

    head: str
    seed: int
    folder: Path
    recipe: Mapping[str, Any]
    where: str
    overrides: Sequence[str]
    data: Sequence[str]
    threads: int

    def __str__(self) -> str:
        return f"{self.head}, seed {self.seed}"

    def load_recipe(self) -> Recipe:
        return recipe_from_mapping(self.recipe, self.where, self.overrides)


@dataclass(frozen=True)
class StoredScores:
    """The stored figures of a run on one test set."""

    metrics: dict[str, float]
    seconds: float


def is_trained(folder: Path) -> bool:
    return RunFolder(folder).head.exists()  # training writes this file last


def is_complete(run: ComparisonRun, sets: Sequence[VerificationSet]) -> bool:
    """Whether the run is trained and scored on all sets."""
    return is_trained(run.folder) and all(stored_scores(run.folder, test_set) is not None for test_set in sets)


def with_twins(sets: Sequence[VerificationSet]) -> list[VerificationSet]:
    """Each set and its degraded twin."""
    return [variant for test_set in sets for variant in (test_set, degraded_twin(test_set))]


def train_and_score(run: ComparisonRun, console: Console) -> bool:
    """Do the steps of `run` that are not done yet. Returns False if SIGINT or SIGTERM stopped the training after a
    checkpoint.

    Raises the errors of `train` and of the evaluation; finished steps are kept.
    """
    recipe = run.load_recipe()
    if not is_trained(run.folder):
        folder = RunFolder(run.folder)
        from_start = not folder.recipe.exists()
        started = time.monotonic()
        if not train(recipe, run.folder, resume=True, console=console):
            return False
        if from_start:
            folder.write_environment({SECONDS_OF_TRAINING: round(time.monotonic() - started, 1)})
    for test_set in with_twins([open_verification(name) for name in run.data]):
        if stored_scores(run.folder, test_set) is None:
            _score(run.folder, test_set, recipe.device)
            console.print(f"scored on {test_set.name}", highlight=False, markup=False)
    return True


def stored_scores(folder: Path, test_set: VerificationSet) -> StoredScores | None:
    """The stored figures of the run in `folder` on these pairs. None if there are none, if they are of another set with
    the same name, and without the scores for the report."""
    path = _scores_path(folder, test_set)
    if not path.exists() or not pair_scores_path(folder, test_set).exists():
        return None
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["pairs"] != _pairs(test_set):
        return None
    return StoredScores({k: math.nan if v is None else v for k, v in stored["metrics"].items()}, stored["seconds"])


def differences_of(
    runs: Sequence[ComparisonRun], results: Sequence[HeadRun], test_set: VerificationSet
) -> HeadDifferences:
    """Every head against the first on a set, from the scores of the runs whose results have no failure."""
    scores: dict[str, dict[int, PairScores]] = {run.head: {} for run in runs}
    for run, result in zip(runs, results, strict=True):
        if result.failure is None:
            scores[run.head][run.seed] = PairScores.load(pair_scores_path(run.folder, test_set))
    return head_differences(scores)


def run_result(run: ComparisonRun, recipe: Recipe, sets: Sequence[VerificationSet], failure: str | None) -> HeadRun:
    """The figures on `sets` of the run with this `recipe`, or the reason why there are none."""
    folder = RunFolder(run.folder)
    scores = {} if failure is not None else {test_set.name: stored_scores(run.folder, test_set) for test_set in sets}
    known = {name: stored for name, stored in scores.items() if stored is not None}
    other = [name for name in scores if name not in known]
    if other:
        failure = f"its scores on {', '.join(other)} are of other pairs than the set has now: run the command again"
        known = {}
    environment = json.loads(folder.environment.read_text(encoding="utf-8")) if folder.environment.exists() else {}
    return HeadRun(
        head=run.head,
        seed=run.seed,
        metrics={name: stored.metrics for name, stored in known.items()},
        failure=failure,
        settings=_settings(recipe.head),
        machine=_machine(environment),
        images_seen=_steps(folder.metrics) * recipe.batch_size,
        training_seconds=environment.get(SECONDS_OF_TRAINING),
        evaluation_seconds=sum(stored.seconds for stored in known.values()) if known else None,
    )


def _score(folder: Path, test_set: VerificationSet, device: str) -> None:
    started = time.monotonic()
    scores = evaluate_verification(load(folder, device, precision="float32").embed, test_set, system_name(folder))
    summary = summarize(scores, bootstrap=None)
    write_atomically(pair_scores_path(folder, test_set), scores.save)
    values = {name: value if math.isfinite(value) else None for name, value in metric_values(summary).items()}
    stored = {"pairs": _pairs(test_set), "metrics": values, "seconds": round(time.monotonic() - started, 1)}
    write_text_atomically(_scores_path(folder, test_set), json.dumps(stored, indent=2, allow_nan=False))


def system_name(folder: Path) -> str:
    """What the run in `folder` is called in the report of the comparison."""
    return f"{folder.parent.name} {folder.name.replace('_', ' ')}"


def pair_scores_path(folder: Path, test_set: VerificationSet) -> Path:
    """The scores of the run in `folder` on these pairs: in the folder of the comparison, whose report shows all
    runs."""
    return evaluation_folder(folder.parents[1], test_set.name) / f"{slug(system_name(folder))}.npz"


def _scores_path(folder: Path, test_set: VerificationSet) -> Path:
    # A separate file, because `facemargin evaluate` may score the same set with other views.
    return evaluation_folder(folder, test_set.name) / "compare.json"


def _pairs(test_set: VerificationSet) -> dict[str, int | str]:
    genuine = int(test_set.same_K.sum())
    counts = {"images": len(test_set.images), "genuine": genuine, "impostors": len(test_set) - genuine}
    return {**counts, "fingerprint": set_origin(test_set, _IMAGES_LOOKED_AT).fingerprint}


def _steps(metrics: Path) -> int:
    """The number of steps of a run, also of a failed one. If its process was killed, the number of steps in the log."""
    step_R = read_columns(metrics)[0]["step"] if metrics.exists() else np.empty(0)
    return int(step_R.max(initial=0))


def _settings(head: HeadConfig) -> str:
    names = [field.name for field in fields(margin_class(head.name).Config)]
    return ", ".join(f"{name}={getattr(head, name)}" for name in names if getattr(head, name) is not None)


def _machine(environment: Mapping[str, Any]) -> str:
    if not environment:
        return ""
    device = "" if environment["device"] == "cpu" else f"{environment['device']}, "
    cores = f"{environment['cores']} cores ({environment['threads']} used by a run)"
    return f"{device}{environment['processor']}, {cores}, torch {environment['torch']}"
