"""Measures quality by the certainty ratio, for images of people with known class centres. Shapes: N images, D, C
classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.errors import CheckpointError, DataError
from facemargin.evaluation.embeddings import Embed, Embeddings
from facemargin.heads.softmax_terms import softmax_terms
from facemargin.margins.certainty_ratio import certainty_ratio
from facemargin.models.info import read_model


def load_centers(path: Path | str) -> torch.Tensor:
    """The class centres, (C, D) or with sub-centres (C, K, D), in the head.safetensors of a run. Raises
    CheckpointError, which names the file, if there are none."""
    state, _ = read_model(Path(path))
    if "weight" not in state:
        raise CheckpointError(f"{path} holds no class centres, expected the head.safetensors of a run")
    return state["weight"]


def certainty_ratio_quality(embed: Embed, centers_CD: torch.Tensor, classes_N: Sequence[int]) -> Embed:
    """`embed` with the certainty ratio as quality: how much closer each image is to its own centre than to any other.

    `classes_N` are the classes of the images with which the result will be called. They must be identities of the
    network's training; see `margins.certainty_ratio` for the equation.
    """
    y_N = torch.as_tensor(np.asarray(classes_N), dtype=torch.int64)

    def with_ratio(images: ImageSource) -> Embeddings:
        if len(images) != len(y_N):
            raise DataError(
                f"{counted(len(y_N), 'class', 'classes')} given for the {counted(len(images), 'image')} of "
                f"{images.name}, expected one for each"
            )
        embeddings = embed(images)
        x_ND = torch.from_numpy(embeddings.vectors)
        terms = softmax_terms(x_ND, centers_CD, y_N, torch.ones(len(y_N)))
        ratio_N = certainty_ratio(terms.target_cosine_B, terms.hardest_negative_B)
        return replace(embeddings, quality=ratio_N.numpy())

    return with_ratio
