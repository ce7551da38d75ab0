"""The tables of losses_compared.py. S seeds, K pairs."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from losses_compared_scores import CHOOSERS_TESTS, PROBES, read_scores
from numpy.typing import NDArray
from scipy.stats import t as student

import facemargin as fm

BASELINE = "normface"
FARS = (0.1, 0.01)
DISCARDED = 0.3

Scores = dict[int, NDArray[np.float32]]
"""Scores (K,) by seed."""


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


def read(work: Path, folders: dict[int, str], test: str) -> Scores:
    return {seed: read_scores(work, folder, test) for seed, folder in sorted(folders.items())}


def compare(work: Path, pairs: Path, losses: dict[str, dict[int, str]]) -> None:
    """TARs over the seeds, and the difference to the baseline with the interval of people and seeds."""
    index = np.load(pairs)
    scores = {name: read(work, folders, pairs.stem) for name, folders in losses.items()}
    print(f"{index['same'].sum():,} genuine and {(~index['same']).sum():,} impostor pairs; all against {BASELINE}.\n")
    print(
        "| loss | FAR | TAR | spread of seeds | difference | 95 % of people and seeds | p, Holm | |\n"
        + "|---" * 8
        + "|"
    )
    rows = [
        (name, far, *difference(scores[name], scores[BASELINE], index, far))
        for far in FARS
        for name in scores
        if name != BASELINE and scores[name]
    ]
    adjusted = fm.evaluation.holm([row[-1] for row in rows])
    for far in FARS:
        tars = [tar(one, index["same"], far) for one in scores[BASELINE].values()]
        print(f"| {BASELINE} | {far:g} | {statistics.fmean(tars):.1%} | {statistics.stdev(tars):.1%} | | | | |")
        for (name, row_far, mean, half, _), p in zip(rows, adjusted, strict=True):
            if row_far != far:
                continue
            tars = [tar(one, index["same"], far) for one in scores[name].values()]
            verdict = "cannot be told" if p >= 0.05 else "better" if mean > 0 else "worse"
            figures = f"{statistics.fmean(tars):.1%} | {statistics.stdev(tars):.1%} | {mean:+.1%}"
            print(f"| {name} | {far:g} | {figures} | {mean - half:+.1%} to {mean + half:+.1%} | {p:.3f} | {verdict} |")


def tar(scores_K: NDArray[np.float32], same_K: NDArray[np.bool_], far: float) -> float:
    return fm.evaluation.tar_at_far(scores_K, same_K, far).points[0].tar


def difference(ours: Scores, theirs: Scores, index: Any, far: float) -> tuple[float, float, float]:
    """(mean, half of the 95 % interval, p) of TAR of ours − TAR of theirs, for other people and other seeds.

    Variance: the people's, as large for the mean of the seeds as for one of them (the same people are in all), plus the
    seeds' divided by their number. The seeds' differences hold no people's variance of their own, so that nothing is
    counted twice. Student's t with S − 1 degrees of freedom, which is cautious.
    """
    seeds = sorted(set(ours) & set(theirs))
    points = [
        fm.evaluation.paired_difference(
            ours[seed],
            theirs[seed],
            index["same"],
            index["first"],
            index["second"],
            far,
            bootstrap=fm.evaluation.Bootstrap(resamples=300),
        ).points[0]
        for seed in seeds
    ]
    differences = [point.difference for point in points]
    people = statistics.fmean(point.variance * point.scale**2 for point in points)
    error = (people + statistics.variance(differences) / len(seeds)) ** 0.5
    mean = statistics.fmean(differences)
    freedom = len(seeds) - 1
    p = 1.0 if error == 0 else float(2 * student.sf(abs(mean) / error, freedom))
    return mean, float(student.ppf(0.975, freedom)) * error, p


def curve(work: Path, trained: dict[str, Any], best: dict[str, dict[str, Any]]) -> None:
    """TAR at FAR 1 % by the number of people in training, as many image visits each."""
    numbers = sorted({training["people"] for training in trained.values()}, key=lambda people: people or 10**9)
    print("\n## Learning curve: TAR at FAR 1 %, mean ± standard deviation of the seeds\n")
    print("| test | loss | " + " | ".join(f"{people or 'all'} people" for people in numbers) + " |")
    print("|---|---|" + "---|" * len(numbers))
    for pairs in tests(work):
        same_K = np.load(pairs)["same"]
        for name, head in best.items():
            cells = []
            for people in numbers:
                found = read(work, runs_of(trained, head, people), pairs.stem)
                tars = [tar(one, same_K, 0.01) for one in found.values()]
                cells.append(f"{statistics.fmean(tars):.1%} ± {statistics.stdev(tars):.1%}" if len(tars) > 1 else "")
            if cells[0]:
                print(f"| {pairs.stem} | {name} | " + " | ".join(cells) + " |")


def shares(work: Path, trained: dict[str, Any], funface: dict[str, Any]) -> None:
    """Error versus discard of surveillance pictures by the norm of networks trained with each share λ of the ratio."""
    index = np.load(work / "pairs" / f"{PROBES}.npz")
    per_probe = len(np.unique(index["second"]))
    print("\n## FunFace's share λ of the certainty ratio: frmdb, error versus discard by the norm\n")
    print("| λ | TAR at FAR 1 % | area up to 30 % discarded / that of discarding at random |\n|---|---|---|")
    for share in (0.0, None, 0.5, 1.0):
        folders = runs_of(trained, funface if share is None else {**funface, "mixing_factor": share})
        scores = read(work, folders, PROBES)
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
