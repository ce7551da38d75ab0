"""The tables of losses_compared.py. S seeds, K pairs."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from losses_compared import CURVE_LOSSES
from losses_compared_scores import CHOOSERS_TESTS, PROBES, read_scores
from numpy.typing import NDArray

import facemargin as fm
from facemargin.evaluation.metrics.method_difference import FEWEST_TRAININGS, method_tar_differences
from facemargin.evaluation.metrics.shared_pairs import SharedPairs, SystemRates

BASELINE = "normface"
FARS = (0.1, 0.01)
CURVE_FAR = 0.01
DISCARDED = 0.3

Rates = dict[int, SystemRates]
"""The trainings of a loss by seed."""


def tables(work: Path) -> None:
    trained = {path.parent.name: json.loads(path.read_text()) for path in (work / "scores").glob("*/training.json")}
    search = json.loads((work / "search.json").read_text())
    for name, training in trained.items():
        if "failed" in training:
            print(f"left out: {name}: {training['failed']}\n")
    print("## The search\n\n| loss and settings | TAR at FAR 1 % on the choosers |\n|---|---|")
    for row in search["tries"]:
        settings = ", ".join(f"{key} {value:g}" for key, value in row.items() if key not in ("name", "tar"))
        print(f"| {row['name']}: {settings} | {row['tar']:.1%} |")
    final = search["best"]
    for pairs in tests(work):
        print(f"\n## {pairs.stem}\n")
        compare(work, pairs, {name: runs_of(trained, head) for name, head in final.items()})
    curve(work, trained, final)
    shares(work, trained, final["funface"])


def tests(work: Path) -> list[Path]:
    """The files of pairs, without those that chose the settings."""
    return sorted(path for path in (work / "pairs").glob("*.npz") if path.stem not in CHOOSERS_TESTS)


def runs_of(trained: dict[str, Any], head: dict[str, Any], people: int = 0) -> dict[int, str]:
    """The folders by seed, without the search's seed 0."""
    return {
        training["seed"]: folder
        for folder, training in trained.items()
        if training["head"] == head and training["people"] == people and training["seed"] and "failed" not in training
    }


def compare(work: Path, pairs: Path, losses: dict[str, dict[int, str]]) -> None:
    """The mean TARs over the seeds, and their differences to the baseline and of FunFace to the others, with the
    intervals of other people and other seeds."""
    shared = shared_pairs(pairs)
    rates = {name: systems(work, shared, folders, pairs.stem) for name, folders in losses.items()}
    same_K = shared.pairs.same_K
    print(f"{same_K.sum():,} genuine and {(~same_K).sum():,} impostor pairs of {shared.pairs.people:,} people.\n")
    print(
        "| loss |"
        + "".join(f" TAR at FAR {far:g} ± of seeds |" for far in FARS)
        + "\n"
        + "|---" * (len(FARS) + 1)
        + "|"
    )
    for name, found in rates.items():
        cells = [spread([system.points[place].tar for system in found.values()]) for place in range(len(FARS))]
        print(f"| {name} | " + " | ".join(cells) + " |")
    against(shared, rates, BASELINE, reverse=False)
    against(shared, rates, "funface", reverse=True)


def against(shared: SharedPairs, rates: dict[str, Rates], one: str, reverse: bool) -> None:
    """The differences of the others from `one`, or of `one` from the others."""
    others = [name for name in rates if name != one and len(rates[name].keys() & rates[one].keys()) >= FEWEST_TRAININGS]
    ordered = [(rates[one], rates[name]) if reverse else (rates[name], rates[one]) for name in others]
    points = [point for pair in ordered for point in difference(shared, *pair)]
    adjusted = iter(fm.evaluation.holm([point.p_value for point in points]))
    said = [said_difference(point, next(adjusted)) for point in points]
    heading = f"{one} − the other" if reverse else f"difference to {one}"
    print(f"\n| {'other' if reverse else 'loss'} |" + "".join(f" {heading}, FAR {far:g} | p, Holm | |" for far in FARS))
    print("|---" * (3 * len(FARS) + 1) + "|")
    for row, name in enumerate(others):
        print(f"| {name} | " + " | ".join(said[row * len(FARS) : (row + 1) * len(FARS)]) + " |")


def said_difference(point: fm.evaluation.MethodTarDifference, p: float) -> str:
    verdict = "cannot be told" if p >= 0.05 else "**better**" if point.difference > 0 else "**worse**"
    return f"{said_interval(point)} | {p:.3f} | {verdict}"


def said_interval(point: fm.evaluation.MethodTarDifference) -> str:
    low, high = point.interval or (float("nan"), float("nan"))
    return f"{100 * point.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def spread(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.1%} ± {100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""


def shared_pairs(pairs: Path) -> SharedPairs:
    index = np.load(pairs)
    return SharedPairs(index["same"], index["first"], index["second"], FARS, fm.evaluation.Bootstrap(resamples=400))


def systems(work: Path, shared: SharedPairs, folders: dict[int, str], test: str) -> Rates:
    return {seed: shared.system(read_scores(work, folder, test)) for seed, folder in sorted(folders.items())}


def difference(shared: SharedPairs, one: Rates, other: Rates) -> tuple[fm.evaluation.MethodTarDifference, ...]:
    """At each FAR, over the seeds that both have."""
    both = sorted(one.keys() & other.keys())
    return method_tar_differences(shared, [one[seed] for seed in both], [other[seed] for seed in both]).points


def curve(work: Path, trained: dict[str, Any], best: dict[str, dict[str, Any]]) -> None:
    """TAR at FAR 1 % by the number of people in training, as many image visits each, and the difference to the
    baseline."""
    numbers = sorted({training["people"] for training in trained.values()}, key=lambda people: people or 10**9)
    place = FARS.index(CURVE_FAR)
    print(f"\n## Learning curve: TAR at FAR {CURVE_FAR:.0%}, and in points its difference to {BASELINE}\n")
    print("| test | loss | " + " | ".join(f"{people or 'all'} people" for people in numbers) + " |")
    print("|---|---|" + "---|" * len(numbers))
    for pairs in tests(work):
        shared = shared_pairs(pairs)
        baselines = [systems(work, shared, runs_of(trained, best[BASELINE], people), pairs.stem) for people in numbers]
        for name in CURVE_LOSSES:
            cells = []
            for people, baseline in zip(numbers, baselines, strict=True):
                found = systems(work, shared, runs_of(trained, best[name], people), pairs.stem)
                cell = spread([system.points[place].tar for system in found.values()])
                if name != BASELINE and len(found.keys() & baseline.keys()) >= FEWEST_TRAININGS:
                    cell += f"; {said_interval(difference(shared, found, baseline)[place])}"
                cells.append(cell)
            print(f"| {pairs.stem} | {name} | " + " | ".join(cells) + " |")


def tar(scores_K: NDArray[np.float32], same_K: NDArray[np.bool_], far: float) -> float:
    return fm.evaluation.tar_at_far(scores_K, same_K, far).points[0].tar


def shares(work: Path, trained: dict[str, Any], funface: dict[str, Any]) -> None:
    """Error versus discard of surveillance pictures by the norm of networks trained with each share λ of the ratio."""
    index = np.load(work / "pairs" / f"{PROBES}.npz")
    per_probe = len(np.unique(index["second"]))
    print("\n## FunFace's share λ of the certainty ratio: frmdb, error versus discard by the norm\n")
    print("| λ | TAR at FAR 1 % | area up to 30 % discarded / that of discarding at random |\n|---|---|---|")
    for share in (0.0, None, 0.5, 1.0):
        folders = runs_of(trained, funface if share is None else {**funface, "mixing_factor": share})
        scores = {seed: read_scores(work, folder, PROBES) for seed, folder in sorted(folders.items())}
        norms = {seed: np.load(work / "scores" / folder / f"{PROBES}.npz")["norms"] for seed, folder in folders.items()}
        if len(scores) < 2:
            continue
        tars = [tar(one, index["same"], 0.01) for one in scores.values()]
        areas = []
        for seed, scores_K in scores.items():
            quality_K = np.repeat(norms[seed], per_probe)
            found = fm.evaluation.error_versus_discard(scores_K, index["same"], quality_K, quality_K, limits=DISCARDED)
            areas.append(found.limits[0].relative_to_start)
        cells = [f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}" for values in (tars, areas)]
        print(f"| {0.1 if share is None else share:g} | " + " | ".join(cells) + " |")
