"""Embedded faces as files, and a model with CR-FIQA's layer."""

from pathlib import Path

import cv2
import torch

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.models.info import ModelInfo, save_model
from facemargin.models.recognizer import create_recognizer


def write_faces(root: Path, people: range, each: int = 3) -> list[Path]:
    """root/s1/s1_0001.jpg, …: the first `each` faces of `people`, named as in LFW."""
    faces, paths = EmbeddedFaces(people), []
    for person in people:
        for number in range(each):
            path = root / f"s{person}" / f"s{person}_{number + 1:04d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            image = faces.read((person - people[0]) * 10 + number)
            assert cv2.imwrite(str(path), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])
            paths.append(path)
    return paths


def write_crfiqa_model(path: Path) -> Path:
    """A model that nobody has trained."""
    torch.manual_seed(0)
    info = ModelInfo(
        backbone="small_resnet",
        options={"input_size": 16, "width": 4},
        embedding_size=8,
        input_size=16,
        loss="crfiqa",
        quality="crfiqa",
    )
    save_model(path, create_recognizer(info).state_dict(), info)
    return path
