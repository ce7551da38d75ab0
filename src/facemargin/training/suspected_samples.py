"""What an audit found of the samples of a recorded training. Shapes: N samples."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.data.findings import Kind
from facemargin.errors import DataError
from facemargin.training.audited_data import FoundImages
from facemargin.training.config import Recipe
from facemargin.training.training_images import open_training_images


def kinds_of_samples(recipe: Recipe, audit: Path, kinds: Sequence[Kind], num_samples: int) -> NDArray[np.str_]:
    """Of every sample (N,) the surest of the `kinds` that the audit in a folder found from a score of .5 on, or "".
    Samples of synthetic identities are as the images that they are made of. Raises DataError if the training set is not
    the one that was recorded."""
    images = open_training_images(recipe)
    kind_N = np.tile(FoundImages(images, audit, kinds).kinds_of_images(), len(recipe.data.synthetic_identities) + 1)
    if len(kind_N) != num_samples:
        raise DataError(
            f"{recipe.data.train} has {len(kind_N):,} images now, {num_samples:,} were recorded: the training set has "
            "changed"
        )
    return kind_N
