"""A gallery as a file of embeddings."""

from collections import Counter
from pathlib import Path

import numpy as np

from facemargin.files.atomic import write_atomically
from facemargin.gallery.store import Store


def export_images(store: Store, path: Path) -> None:
    """Write what `Gallery.export` says."""
    images = list(store.images())
    times = Counter(image.source for image in images)
    paths = [f"{one.source}#{one.number}" if times[one.source] > 1 else one.source for one in images]
    arrays = {
        "paths": np.array(paths, dtype=np.str_),
        "embeddings": store.vectors([image.number for image in images]),
        "norms": np.array([image.norm for image in images], np.float32),
        "quality": np.array([image.quality for image in images], np.float32),
        "people": np.array([image.person for image in images], dtype=np.str_),
        "numbers": np.array([image.number for image in images], np.int64),
        "in_review": np.array([image.in_review for image in images], np.bool_),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)
