"""Which loss is better on few people and a small network: eight losses, each at its own best scale and margin.

    python benchmarks/losses_compared.py prepare WORK --set train=FACES --set pins=FACES   audit, clean, split
    python benchmarks/losses_compared.py train WORK [--jobs 2]       search, five seeds each, then the learning curves
    python benchmarks/losses_compared.py embed WORK --lfw LFW --mugshots FOLDER --surveillance FOLDER
    python benchmarks/losses_compared.py tables WORK

Every loss has the same four tries of scale and margin, judged by the mean TAR at FAR 1 % on people who are in no
training and no test, clean and degraded. Every step can be stopped and goes on; what a training needs is in its folder.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import facemargin as fm
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.files.atomic import write_text_atomically
from facemargin.quality.degradation import degraded_twin

# The images of one person, at most: some have 500, most have 20.
MOST_IMAGES = 60
# People who are in no training and no test, on whom scale and margin are chosen, and how many images of each.
CHOOSERS, IMAGES_OF_CHOOSER = 40, 10
# Findings of the audit that are acted on.
SURE = 0.5
KINDS = "mislabelled,split,duplicate,no_face"
# Running statistics that have settled after some 60 steps, a tenth of the training.
SETTLED = {"t_alpha": 0.05}
VISITS = 60_000
SEEDS = range(1, 6)
CURVE_PEOPLE = (50, 100)
CURVE_LOSSES = ("normface", "adaface", "funface")
RECIPE: dict[str, Any] = {
    "backbone": {"input_size": 48, "width": 16},
    "schedule": {"warmup_epochs": 0.5},
    "batch_size": 128,
    "data": {"workers": 0},
    "threads": 1,
}


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
    step = steps.add_parser("train")
    step.add_argument("work", type=Path)
    step.add_argument("--jobs", type=int, default=1)
    step = steps.add_parser("embed")
    step.add_argument("work", type=Path)
    for name in ("--lfw", "--mugshots", "--surveillance"):
        step.add_argument(name, required=True)
    steps.add_parser("tables").add_argument("work", type=Path)
    args = parser.parse_args()
    if args.step == "prepare":
        prepare(args.work, dict(given.split("=", 1) for given in args.set))
    elif args.step == "train":
        train_all(args.work, args.jobs)
    elif args.step == "embed":
        from losses_compared_scores import embed_all

        embed_all(args.work, args.lfw, args.mugshots, args.surveillance)
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
    for name in ("people", "choosers"):
        faces = fm.open_images(work / name)
        print(f"{name}: {len(faces):,} images of {faces.num_identities} people")


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


def train_all(work: Path, jobs: int) -> None:
    tries = {loss.name: [Training(head, seed=0) for head in loss.tries()] for loss in LOSSES}
    run_all(work, [training for of_loss in tries.values() for training in of_loss], jobs)
    best = choose(work, tries)
    run_all(work, [Training(best[loss.name], seed) for seed in SEEDS for loss in LOSSES], jobs)
    curve = [(seed, people, name) for seed in SEEDS for people in CURVE_PEOPLE for name in CURVE_LOSSES]
    run_all(work, [Training(best[name], seed, people) for seed, people, name in curve], jobs)
    ratios = [{**best["funface"], "mixing_factor": share} for share in (0.0, 0.5, 1.0)]
    run_all(work, [Training(head, seed) for seed in SEEDS for head in ratios], jobs)


def run_all(work: Path, trainings: Sequence[Training], jobs: int) -> None:
    missing = [training for training in trainings if not (work / "runs" / training.name / "model.safetensors").exists()]
    print(f"{len(trainings)} trainings, of which {len(missing)} are to be done", flush=True)
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for training in pool.map(run_one, [work] * len(missing), missing):
            print(training.name, flush=True)


def run_one(work: Path, training: Training) -> Training:
    torch.set_num_threads(1)
    faces = fm.open_images(work / "people")
    images = len(faces)
    if training.people:
        images = int((np.asarray(faces.labels) < training.people).sum())
    recipe = fm.load_recipe("small_cpu", **recipe_fields(work, training, images, len(faces)))
    folder = work / "runs" / training.name
    fm.train(recipe, folder, resume=folder.exists())
    for checkpoint in folder.glob("checkpoint*"):
        shutil.rmtree(checkpoint) if checkpoint.is_dir() else checkpoint.unlink()
    write_text_atomically(folder / "training.json", json.dumps(asdict(training)))
    return training


def recipe_fields(work: Path, training: Training, images: int, every: int) -> dict[str, Any]:
    fields = {**RECIPE, "seed": training.seed, "epochs": max(1, round(VISITS / images)), "head": training.head}
    limit = {"limit": images} if images < every else {}
    return {**fields, "data": {"train": str(work / "people"), **RECIPE["data"], **limit}}


def choose(work: Path, tries: dict[str, list[Training]]) -> dict[str, dict[str, Any]]:
    """The settings of each loss with the highest mean TAR at FAR 1 % on the choosers, clean and degraded."""
    clean = choosers(work)
    pairs = (clean, degraded_twin(clean))
    best, rows = {}, []
    for loss, trainings in tries.items():
        reached = [np.mean([tar(model_of(work, one), pair_set) for pair_set in pairs]) for one in trainings]
        best[loss] = trainings[int(np.argmax(reached))].head
        rows += [{**one.head, "tar": float(value)} for one, value in zip(trainings, reached, strict=True)]
    write_text_atomically(work / "search.json", json.dumps({"tries": rows, "best": best}, indent=1))
    print(json.dumps(best, indent=1), flush=True)
    return best


def choosers(work: Path) -> VerificationSet:
    """All pairs of IMAGES_OF_CHOOSER images of each chooser."""
    target = work / "chooser-pairs"
    if not target.exists():
        few = work / "choosers-few"
        for person in sorted((work / "choosers").iterdir()):
            (few / person.name).mkdir(parents=True, exist_ok=True)
            for image in sorted(person.iterdir())[:IMAGES_OF_CHOOSER]:
                shutil.copyfile(image, few / person.name / image.name)
        facemargin("make-pairs", few, "--all", "--output", target)
    return fm.open_verification(target)


def model_of(work: Path, training: Training) -> fm.Model:
    return fm.load(work / "runs" / training.name)


def tar(model: fm.Model, pairs: VerificationSet) -> float:
    vectors_ND = model.embed(pairs.images, views="one").vectors
    scores_K = fm.evaluation.pair_scores(vectors_ND, pairs.first_K, pairs.second_K)
    return fm.evaluation.tar_at_far(scores_K, pairs.same_K, 0.01).points[0].tar


if __name__ == "__main__":
    main()
