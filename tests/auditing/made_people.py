"""People as pictures of smooth patterns, and a network that looks at them: a set in which every error is known."""

from pathlib import Path

import cv2
import numpy as np
import torch

import facemargin as fm
from facemargin.data.source import ArrayImages, WithLabels

SIDE = 32


def picture(person: int, number: int, noise: float = 25.0) -> np.ndarray:
    """A pattern of the person's, under a light that changes from picture to picture."""
    pattern = np.random.default_rng(person).normal(0, 1, (5, 5, 3))
    generator = np.random.default_rng((person, number))
    light = cv2.resize(generator.normal(0, 1, (3, 3, 1)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
    detail = cv2.resize(generator.normal(0, 1, (8, 8, 3)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    drawn = 127 + 45 * cv2.resize(pattern, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) + noise * (light + detail)
    return np.clip(drawn, 0, 255).astype(np.uint8)


def people(count: int, each: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Pictures, and who is in them."""
    who = np.repeat(np.arange(count), each)
    return [picture(int(person), number) for number, person in enumerate(who)], who


def labeled(pictures: list[np.ndarray], labels: np.ndarray) -> WithLabels:
    names = [f"p{label}" for label in range(int(labels.max()) + 1)]
    return WithLabels(ArrayImages(pictures, "made"), labels, names)


def network(size: int = 48) -> fm.Model:
    """Random projections of blurred pixels, less their mean: as good a recogniser as these people need."""
    torch.manual_seed(0)
    return fm.wrap(Projection(size), input_size=SIDE)


class Projection(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.projection = torch.nn.Linear(3 * 8 * 8, size, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        small = torch.nn.functional.adaptive_avg_pool2d(images, 8)
        return self.projection((small - small.mean((1, 2, 3), keepdim=True)).flatten(1))


def write(root: Path, images: WithLabels) -> Path:
    """A folder of a folder a person."""
    for index, label in enumerate(images.labels.tolist()):
        path = root / images.identity_names[label] / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), images.read(index)[:, :, ::-1])
    return root
