"""Photographs of embedded faces as files."""

from pathlib import Path

import cv2
import numpy as np

from tests.photographs import canvas, orl_photograph


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.ascontiguousarray(image[:, :, ::-1]))
    return path


def write_photographs(root: Path, people: range, each: int = 2) -> list[Path]:
    """root/s1/s1_0001.png, …: photographs with one face each, turned and scaled, no two alike."""
    paths = []
    for person in people:
        for number in range(each):
            degrees, scale = 12 * (-1) ** number, 1.0 + 0.1 * number
            photograph = orl_photograph(10 * (person - 1) + number, scale, degrees, shape=(192, 224))
            paths.append(write(root / f"s{person}" / f"s{person}_{number + 1:04d}.png", photograph))
    return paths


def write_empty(path: Path) -> Path:
    """A photograph that nobody is in."""
    return write(path, canvas(96, 128, seed=5))
