"""Galleries of made-up vectors, with the plain truth beside them."""

from pathlib import Path

import numpy as np

from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_store import FolderStore
from facemargin.gallery.milvus_place import milvus_place
from facemargin.gallery.milvus_store import MilvusStore
from facemargin.gallery.store import NewImage

SIZE = 16


def binding(size: int = SIZE, quality_helps: bool = True) -> Binding:
    fingerprint = np.random.default_rng(7).normal(size=size).round(4).tolist()
    return Binding(
        "made-up", fingerprint, size, "norm", "flip", quality_helps, "made up", None, None, "2026-01-01T00:00:00+00:00",
        "0",
    )  # fmt: skip


def make_store(folder: Path, size: int = SIZE, quality_helps: bool = True) -> FolderStore:
    return FolderStore.create(folder, binding(size, quality_helps))


def make_milvus_store(folder: Path, size: int = SIZE, quality_helps: bool = True) -> MilvusStore:
    return MilvusStore.create(milvus_place(f"milvus:{folder}.db"), binding(size, quality_helps))


def unit_vectors(count: int, seed: int = 0, size: int = SIZE) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1)[:, None]).astype(np.float32)


def new_images(count: int, seed: int = 0, size: int = SIZE, **more) -> list[NewImage]:
    quality = np.random.default_rng(seed + 1000).uniform(1, 20, count)
    return [
        NewImage(vector, float(norm), float(norm), f"{seed}/{place}.jpg", seed * 1000 + place, **more)
        for place, (vector, norm) in enumerate(zip(unit_vectors(count, seed, size), quality, strict=True))
    ]


def template_by_loops(images: list[NewImage], by_quality: bool = True) -> np.ndarray:
    """The mean of the vectors in float64, weighted by quality."""
    total = np.zeros(len(images[0].vector))
    for image in images:
        for place, value in enumerate(image.vector.tolist()):
            total[place] += value * (max(np.float64(np.float32(image.quality)), 0) if by_quality else 1.0)
    return total / np.sqrt(sum(value * value for value in total.tolist()))


def enrolled(store) -> dict[str, list[tuple]]:
    """Everything that a store says about its images and their vectors, by person."""
    found: dict[str, list[tuple]] = {person.name: [] for person in store.people()}
    for image in store.images():
        vector = store.vectors([image.number])[0].tobytes()
        found[image.person].append((image.source, image.norm, image.quality, image.in_review, image.reasons, vector))
    return found
