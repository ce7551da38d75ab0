"""Trainings on wrong labels with the recorder on, kept in a folder, for audit_logs.py, audit_folds.py and
audit_retraining.py: what is there is not trained again.

In every training one in C + 1 images carries a fake label, as AUM asks (Pleiss et al., NeurIPS 2020, arXiv 2001.10528);
these take no part in the measures. Shapes: N images, V visits, D values of an embedding.
"""

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from audit_labels import measure, swap
from numpy.typing import NDArray
from rich.console import Console

import facemargin as fm
from facemargin.auditing.visited import visited
from facemargin.data.images.pixels import resize_square
from facemargin.training.recipe import recipe_from_mapping

Numbers = NDArray[np.float64]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
HOWS = ("uniformly", "to the nearest")
RATES = (0.05, 0.2, 0.1, 0.01)
SIZE = 32
RECIPE: dict[str, Any] = {
    "head": {"name": "cosface", "scale": 20.0, "margin": 0.0},
    "backbone": {"name": "small_resnet", "embedding_size": 128, "input_size": SIZE, "width": 24},
    "augmentation": {"flip": 0.5, "affine": 0.5, "rotation": 8.0, "translation": 0.05, "scale": [0.93, 1.07]},
    "optimizer": {"name": "adamw", "learning_rate": 0.003, "weight_decay": 0.05},
    "schedule": {"name": "cosine", "warmup_epochs": 1.0},
    "validation": {"every_epochs": 0},
    "epochs": 12,
    "batch_size": 64,
    "precision": "float32",
    "recorder": True,
    "threads": 1,
}


@dataclass(frozen=True)
class Faces:
    """What SFace says of the images, and their true labels."""

    vectors_ND: NDArray[np.float32]
    norms_N: NDArray[np.float32]
    labels_N: Integers
    indices_N: Integers


def read_faces(path: Path) -> Faces:
    with np.load(path) as arrays:
        labels_N = np.unique(arrays["labels"], return_inverse=True)[1].astype(np.int64)
        vectors_ND, norms_N = (arrays[name].astype(np.float32) for name in ("vectors", "norms"))
        return Faces(vectors_ND, norms_N, labels_N, arrays["indices"].astype(np.int64))


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("work", type=Path)
    command.add_argument("--sface", type=Path, required=True)
    command.add_argument("--rates", type=float, nargs="+", default=RATES)
    command.add_argument("--hows", nargs="+", choices=HOWS, default=HOWS)
    command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])


def name_of(how: str, rate: float, seed: int, sub_centers: int = 1) -> str:
    return f"{how.split()[-1]}-{rate:g}-{seed}" + (f"-{sub_centers}-centers" if sub_centers > 1 else "")


def write_pictures(faces: str, indices_N: Integers, folder: Path) -> list[Path]:
    """The faces at the size that the network reads, which saves decoding them for every training."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:06d}.png" for index in indices_N.tolist()]
    images = fm.open_images(faces)
    for path, index in zip(paths, indices_N.tolist(), strict=True):
        if not path.exists():
            small = resize_square(images.read(index), SIZE)
            cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    return paths


@dataclass(frozen=True)
class Planted:
    """The labels to train on, of which some are `wrong`, and some `fake`: of a class that nobody belongs to."""

    labels_N: Integers
    wrong_N: Mask
    fake_N: Mask


def plant(vectors_ND: NDArray[np.float32], labels_N: Integers, how: str, rate: float, seed: int) -> Planted:
    swapped_N, wrong_N = swap(vectors_ND, labels_N, rate, how, seed)
    classes, fake_N = int(labels_N.max()) + 1, np.zeros(len(labels_N), bool)
    fake_N[np.random.default_rng([seed, 1]).choice(len(labels_N), len(labels_N) // (classes + 1), replace=False)] = True
    return Planted(np.where(fake_N, classes, swapped_N), wrong_N & ~fake_N, fake_N)


def train_one(
    pictures: list[Path], planted: Planted, folder: Path, seed: int, initial: str = "", sub_centers: int = 1
) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = zip(pictures, planted.labels_N.tolist(), strict=True)
    (folder / "list.txt").write_text("".join(f"../pictures/{path.name}\tp{label:05d}\n" for path, label in rows))
    recipe = {
        **RECIPE,
        "head": {**RECIPE["head"], "sub_centers": sub_centers},
        "data": {"train": str(folder / "list.txt"), "workers": 0, "cache_decoded": True},
        "initial": {"weights": initial},
        "seed": seed,
    }
    if not fm.train(recipe_from_mapping(recipe, "RECIPE"), folder / "run", console=Console(quiet=True)):
        raise SystemExit(f"{folder.name} was interrupted")
    shutil.rmtree(folder / "run" / "checkpoints")
    np.savez(folder / "truth.npz", wrong=planted.wrong_N, fake=planted.fake_N)


@dataclass(frozen=True)
class Log:
    """A recording, and what is true of its samples. Visits are in the order of the steps."""

    recording: fm.Recording
    wrong_N: Mask
    fake_N: Mask

    def mean(self, values_V: Numbers) -> Numbers:
        sample_V, number = self.recording["sample"].astype(np.int64), len(self.wrong_N)
        return np.asarray(np.bincount(sample_V, values_V, number) / np.bincount(sample_V, minlength=number))

    def last(self, values_V: Numbers) -> Numbers:
        found_N = np.full(len(self.wrong_N), np.nan)
        found_N[self.recording["sample"].astype(np.int64)] = values_V
        return found_N

    def targets(self) -> Numbers:
        """Target cosines (V,)."""
        return np.asarray(self.recording["target_cosine"], np.float64)

    def gaps(self) -> Numbers:
        """Target cosines less hardest negative cosines (V,)."""
        return self.targets() - self.recording["hardest_negative"].astype(np.float64)


def read_log(folder: Path) -> Log:
    with np.load(folder / "truth.npz") as truth:
        return Log(fm.load_recording(folder / "run"), truth["wrong"], truth["fake"])


# This head has no margin and one scale, so that target logit less largest other logit is the scale times the gap.
PEERS: dict[str, Callable[[Log], Numbers]] = {
    "audit of the log": lambda log: visited(log.recording).suspicion_N,
    "AUM": lambda log: -log.mean(log.gaps()),
    "final target cosine": lambda log: -log.last(log.targets()),
    "final margin": lambda log: -log.last(log.gaps()),
}


def measure_of(log: Log, suspicion_N: Numbers) -> tuple[float, float]:
    return measure(suspicion_N[~log.fake_N], log.wrong_N[~log.fake_N])


def text(figures: tuple[float, float]) -> str:
    return "{:.3f} / {:.3f}".format(*figures)
