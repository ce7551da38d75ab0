"""Real `facemargin` processes for tests: a recipe file, a folder of real faces, kill and resume."""

import csv
import signal
import time
from pathlib import Path

import cv2
import numpy as np
import yaml

from tests.processes import Program, run_program

RECIPE = {
    "head": {"name": "funface", "scale": 16.0},
    "backbone": {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 16, "dropout": 0.2},
    "quality": {"name": "crfiqa"},
    "data": {"train": "orl:1-4", "workers": 1, "cache_decoded": False},
    "augmentation": {"flip": 0.5, "affine": 1.0, "rotation": 10.0, "noise": 0.3},
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "validation": {"data": ["orl:25-26"], "every_epochs": 3, "views": "flip"},
    "checkpoint": {"every_steps": 7, "keep": 2},
    "logging": {"every_steps": 1},
    "epochs": 12,
    "batch_size": 8,
    "ema_decay": 0.9,
    "threads": 1,
    "seed": 3,
}


def write_recipe(folder: Path, **changes) -> Path:
    """RECIPE with `changes` (a dict merges into the section of that name) as a YAML file in `folder`."""
    recipe = dict(RECIPE)
    for key, value in changes.items():
        recipe[key] = {**recipe.get(key, {}), **value} if isinstance(value, dict) else value
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def start(*arguments, **options) -> Program:
    return Program("-m", "facemargin", *arguments, **options)


def run(*arguments, **options) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a facemargin process."""
    return run_program("-m", "facemargin", *arguments, **options)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def stop_at_step(process: Program, metrics: Path, step: int, number: int | None = None) -> None:
    """Send `number`, by default SIGKILL, once metrics.csv shows `step`; fails if the process ends before."""
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        if metrics.exists() and metrics.read_text().count("\n") > step:
            process.send_signal(number or signal.SIGKILL)
            return
        time.sleep(0.002)
    raise AssertionError(f"step {step} was not reached")


def write_faces(folder: Path, people: int = 3, images: int = 6, size: int = 24) -> None:
    """A folder of generated JPEGs, identity/image.jpg: each person a pattern of their own plus noise."""
    rng = np.random.default_rng(0)
    for person in range(people):
        (folder / f"person_{person}").mkdir(parents=True)
        pattern = rng.integers(0, 200, (size, size, 3))
        for image in range(images):
            noisy = (pattern + rng.integers(0, 50, pattern.shape)).astype(np.uint8)
            cv2.imwrite(str(folder / f"person_{person}" / f"{image}.jpg"), noisy)
