"""Which loss is better on few people and a small network: eight losses, each at its own best scale and margin.

    python benchmarks/losses_compared.py prepare WORK --set train=FACES --set pins=FACES   audit, clean, split
    python benchmarks/losses_compared.py tests WORK --lfw LFW --mugshots FOLDER --surveillance FOLDER
    python benchmarks/losses_compared.py train WORK [--jobs 2]       search, five seeds each, then the learning curves
    python benchmarks/losses_compared.py tables WORK

Every loss has the same four tries of scale and margin, judged by the mean TAR at FAR 1 % on people who are in no
training and no test, clean and degraded. Every step can be stopped and goes on; what a training needs is in its folder,
and what its network scores on the tests is in WORK/scores. `--network wide`, here and in `tests`, is for a GPU.
"""

import argparse
import concurrent.futures
import csv
import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from losses_compared_scores import CHOOSERS_TESTS, prepare_tests, read_scores, score_all
from rich.console import Console

import facemargin as fm
from facemargin.errors import NonFiniteLossError
from facemargin.files.atomic import write_text_atomically

# The images of one person, at most: some have 500, most have 20.
MOST_IMAGES = 60
# People who are in no training and no test, on whom scale and margin are chosen, and how many images of each.
CHOOSERS, IMAGES_OF_CHOOSER = 40, 10
# Findings of the audit that are acted on.
SURE = 0.5
KINDS = "mislabelled,split,duplicate,no_face"
# Running statistics that have settled after some 60 steps, a tenth of the training.
SETTLED = {"t_alpha": 0.05}
# Images that a training sees, and one of the search.
VISITS, SEARCH_VISITS = 100_000, 60_000
SEEDS = range(1, 6)
CURVE_PEOPLE = (50, 100, 200)
CURVE_LOSSES = ("normface", "adaface", "funface")
# All as in the recipe small_cpu, but for these.
RECIPE: dict[str, Any] = {
    "schedule": {"warmup_epochs": 0.5},
    "batch_size": 128,
    "checkpoint": {"every_steps": 10**6},
    "precision": "float32",
    "threads": 1,
}
NETWORKS: dict[str, dict[str, Any]] = {
    "small": {"backbone": {"input_size": 48, "width": 16}, "data": {"workers": 0, "cache_decoded": True}},
    "wide": {
        "backbone": {"input_size": 80, "width": 64},
        "data": {"workers": 2, "augment_on": "cpu", "cache_decoded": True},
    },
}


@dataclass(frozen=True)
class Plan:
    """How all networks of a comparison are trained; after the time `until` no further one is begun."""

    work: Path
    network: str = "small"
    visits: int = VISITS
    search_visits: int = SEARCH_VISITS
    until: float = float("inf")


@dataclass(frozen=True)
class Loss:
    """A loss with its own settings, and the field and values of its margin that are tried."""

    name: str
    margin_field: str | None = "margin"
    margins: tuple[float, ...] = ()
    scales: tuple[float, ...] = (16, 32)
    settings: dict[str, Any] = field(default_factory=dict)

    def tries(self) -> Iterator[dict[str, Any]]:
        for scale in self.scales or (None,):
            for margin in self.margins or (None,):
                chosen = {} if scale is None else {"scale": float(scale)}
                if margin is not None and self.name == "magface":
                    # The margin of an average norm; MagFace's two bounds keep their ratio.
                    chosen |= {"lower_margin": 0.45 * margin, "upper_margin": 0.8 * margin}
                elif margin is not None:
                    chosen |= {str(self.margin_field): margin}
                yield {"name": self.name, **self.settings, **chosen}


LOSSES = (
    Loss("normface", None, (), (8, 16, 32, 64)),
    Loss("cosface", "margin", (0.175, 0.35)),
    Loss("arcface", "margin", (0.25, 0.5)),
    Loss("magface", "scaled", (0.5, 1.0)),
    Loss("adaface", "margin", (0.2, 0.4), settings=SETTLED),
    Loss("funface", "margin", (0.2, 0.4), settings={**SETTLED, "certainty_ratio_bound": 10.0}),
    Loss("curricularface", "margin", (0.25, 0.5), settings=SETTLED),
    Loss("lh2face", "margin", (0.0875, 0.175, 0.35, 0.7), ()),
)


@dataclass(frozen=True)
class Training:
    """One network: its loss, its seed, and on how many people (0: all)."""

    head: dict[str, Any]
    seed: int
    people: int = 0

    @property
    def name(self) -> str:
        settings = "-".join(f"{key}={value:g}" for key, value in self.head.items() if key != "name")
        return f"{self.head['name']}-{settings}-people={self.people or 'all'}-seed={self.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("prepare")
    step.add_argument("work", type=Path)
    step.add_argument("--set", action="append", required=True, metavar="NAME=FACES")
    step = steps.add_parser("tests")
    step.add_argument("work", type=Path)
    for name in ("--lfw", "--mugshots", "--surveillance"):
        step.add_argument(name, required=True)
    step.add_argument("--network", choices=NETWORKS, default="small")
    step = steps.add_parser("train")
    step.add_argument("work", type=Path)
    step.add_argument("--jobs", type=int, default=1)
    step.add_argument("--network", choices=NETWORKS, default="small")
    step.add_argument("--visits", type=int, default=VISITS)
    step.add_argument("--search-visits", type=int, default=SEARCH_VISITS)
    steps.add_parser("tables").add_argument("work", type=Path)
    args = parser.parse_args()
    if args.step == "prepare":
        prepare(args.work, dict(given.split("=", 1) for given in args.set))
    elif args.step == "tests":
        size = NETWORKS[args.network]["backbone"]["input_size"]
        prepare_tests(args.work, choosers(args.work), args.lfw, args.mugshots, args.surveillance, size)
    elif args.step == "train":
        with concurrent.futures.ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
            train_all(pool, Plan(args.work, args.network, args.visits, args.search_visits))
    else:
        from losses_compared_tables import tables

        tables(args.work)


def prepare(work: Path, sets: dict[str, str]) -> None:
    """WORK/people and WORK/choosers, folders of people in random order, cleaned by an audit."""
    work.mkdir(parents=True, exist_ok=True)
    together, cleaned = work / "together", work / "cleaned"
    if not together.exists():
        copied = {name: work / f"set-{name}" for name in sets}
        for name, faces in sets.items():
            if not copied[name].exists():
                facemargin("convert", faces, copied[name], "--to", "folder")
        merge(copied, work / "together.part")
        (work / "together.part").rename(together)
    if not (work / "audit" / "audit.json").exists():
        facemargin("audit", "--model", "sface", "--data", together, "--output", work / "audit")
    if not (work / "people").exists():
        if not cleaned.exists():
            wanted = ("--accept-from", SURE, "--kinds", KINDS, "--to", "folder")
            facemargin("data", "clean", together, "--audit", work / "audit", *wanted, "--output", cleaned)
        split(cleaned, work)
    left_out(work)
    for name in ("people", "choosers"):
        images = fm.open_images(work / name)
        print(f"{name}: {len(images):,} images of {images.num_identities} people")


def facemargin(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "facemargin", *map(str, arguments)], check=True)


def merge(sets: dict[str, Path], target: Path) -> None:
    """One folder of all people in random order, with at most MOST_IMAGES of each."""
    people = sorted((name, person) for name, root in sets.items() for person in root.iterdir() if person.is_dir())
    generator = np.random.default_rng(0)
    for place, k in enumerate(generator.permutation(len(people))):
        name, person = people[k]
        into = target / f"{place:04d}-{name}-{person.name}"
        into.mkdir(parents=True, exist_ok=True)
        images = sorted(path for path in person.iterdir() if path.is_file())
        for image in generator.permutation(np.array(images, dtype=object))[:MOST_IMAGES]:
            shutil.copyfile(image, into / image.name)


def split(cleaned: Path, work: Path) -> None:
    """People with enough images are the choosers, the last ones in the random order."""
    people = sorted(path for path in cleaned.iterdir() if path.is_dir())
    enough = [person for person in people if sum(1 for _ in person.iterdir()) >= 2 * IMAGES_OF_CHOOSER]
    (work / "choosers").mkdir(exist_ok=True)
    for person in enough[-CHOOSERS:]:
        person.rename(work / "choosers" / person.name)
    cleaned.rename(work / "people")


def left_out(work: Path) -> None:
    """WORK/left_out.csv: the images that the audit took out or moved, by their places in the sets, from 0."""
    with (work / "people" / "cleaning.csv").open(newline="") as file, (work / "left_out.csv").open("w") as written:
        written.write("set,number,action,kind,score\n")
        for row in csv.DictReader(file):
            if row["action"] == "kept":
                continue
            _, name, _ = row["label"].split("-", 2)
            kind, score = re.match(r"(\w+) \(score ([\d.]+)\)", row["why"]).groups()  # type: ignore[union-attr]
            written.write(f"{name},{int(Path(row['path']).stem)},{row['action']},{kind},{score}\n")


def train_all(pool: concurrent.futures.Executor, plan: Plan) -> None:
    best = search(pool, plan)
    run_all(pool, plan, [Training(best[loss.name], seed) for seed in SEEDS for loss in LOSSES])
    ratios = [{**best["funface"], "mixing_factor": share} for share in (0.0, 0.5, 1.0)]
    further = []
    # By seed, so that where the time runs out all are short of the same seeds.
    for seed in SEEDS:
        further += [Training(best[name], seed, people) for people in CURVE_PEOPLE for name in CURVE_LOSSES]
        further += [Training(head, seed) for head in ratios]
    run_all(pool, plan, further)


def search(pool: concurrent.futures.Executor, plan: Plan) -> dict[str, dict[str, Any]]:
    """The settings of each loss with the highest mean TAR at FAR 1 % on the choosers, clean and degraded."""
    tries = {loss.name: [Training(head, seed=0) for head in loss.tries()] for loss in LOSSES}
    run_all(pool, plan, [training for of_loss in tries.values() for training in of_loss])
    best, rows = {}, []
    for loss, trainings in tries.items():
        reached = [np.mean([tar(plan.work, one, test) for test in CHOOSERS_TESTS]) for one in trainings]
        best[loss] = trainings[int(np.argmax(reached))].head
        rows += [{**one.head, "tar": float(value)} for one, value in zip(trainings, reached, strict=True)]
    write_text_atomically(plan.work / "search.json", json.dumps({"tries": rows, "best": best}, indent=1))
    print(json.dumps(best), flush=True)
    return best


def tar(work: Path, training: Training, test: str) -> float:
    """TAR at FAR 1 %; 0 for a training whose loss was not finite."""
    if not (work / "scores" / training.name / f"{test}.npz").exists():
        return 0.0
    same_K = np.load(work / "pairs" / f"{test}.npz")["same"]
    return fm.evaluation.tar_at_far(read_scores(work, training.name, test), same_K, 0.01).points[0].tar


def run_all(pool: concurrent.futures.Executor, plan: Plan, trainings: Sequence[Training]) -> None:
    missing = [one for one in trainings if not (plan.work / "scores" / one.name / "training.json").exists()]
    print(f"{len(trainings)} trainings, of which {len(missing)} are to be done", flush=True)
    for said in pool.map(run_one, [plan] * len(missing), missing):
        print(said, flush=True)


def run_one(plan: Plan, training: Training) -> str:
    if time.time() > plan.until:
        return f"{training.name}: no time left"
    torch.set_num_threads(1)
    started = time.perf_counter()
    faces = fm.open_images(plan.work / "people")
    images = len(faces)
    if training.people:
        images = int((np.asarray(faces.labels) < training.people).sum())
    recipe = fm.load_recipe("small_cpu", **recipe_fields(plan, training, images, len(faces)))
    folder = plan.work / "runs" / training.name
    done = plan.work / "scores" / training.name / "training.json"
    try:
        fm.train(recipe, folder, resume=folder.exists(), console=Console(quiet=True))
    except NonFiniteLossError as error:
        write_text_atomically(done, json.dumps({**asdict(training), "failed": str(error)}))
        return f"{training.name}: {error}"
    trained = time.perf_counter()
    shutil.rmtree(folder / "checkpoints")
    score_all(plan.work, folder)
    seconds = time.perf_counter()
    write_text_atomically(done, json.dumps(asdict(training)))
    return f"{training.name}: {recipe.epochs} epochs in {trained - started:.0f} s, scored in {seconds - trained:.0f} s"


def recipe_fields(plan: Plan, training: Training, images: int, every: int) -> dict[str, Any]:
    network = NETWORKS[plan.network]
    visits = plan.visits if training.seed else plan.search_visits
    limit = {"limit": images} if images < every else {}
    return {
        **RECIPE,
        "backbone": network["backbone"],
        "data": {"train": str(plan.work / "people"), **network["data"], **limit},
        "seed": training.seed,
        "epochs": max(1, round(visits / images)),
        "head": training.head,
    }


def choosers(work: Path) -> Path:
    """The file of all pairs of IMAGES_OF_CHOOSER images of each chooser."""
    target = work / "chooser-pairs"
    if not target.exists():
        few = work / "choosers-few"
        for person in sorted((work / "choosers").iterdir()):
            (few / person.name).mkdir(parents=True, exist_ok=True)
            for image in sorted(person.iterdir())[:IMAGES_OF_CHOOSER]:
                shutil.copyfile(image, few / person.name / image.name)
        facemargin("make-pairs", few, "--all", "--output", target)
    return target


if __name__ == "__main__":
    main()
