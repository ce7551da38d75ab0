"""Measures the differences between an exported model and the original model. Shapes: N images, D embedding size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource
from facemargin.data.squareness import SquashingTold, warn_of_squashed
from facemargin.evaluation.embeddings import Embeddings
from facemargin.export.exported_model import ExportedModel
from facemargin.export.onnx_graph import ExportedViews
from facemargin.models.model import Model

BATCH_SIZES = (1, 8)


@dataclass(frozen=True)
class Parity:
    """The largest differences over `images` images, each embedded in batches of all BATCH_SIZES.

    embedding: the largest difference of a component of the unit vectors. norm, quality: relative to the largest value
    of all images. cosine: the smallest cosine between the two vectors of an image.
    """

    images: int
    embedding: float
    norm: float
    quality: float
    cosine: float

    @property
    def largest(self) -> float:
        return max(self.embedding, self.norm, self.quality)

    def __str__(self) -> str:
        sizes = " and ".join(map(str, BATCH_SIZES))
        faces = "face" if self.images == 1 else "faces"
        return (
            f"checked on {self.images:,} {faces} in batches of {sizes}, largest differences from the model: "
            f"embedding {self.embedding:.1e}, norm {self.norm:.1e}, quality {self.quality:.1e} (relative); smallest "
            f"cosine {self.cosine:.6f}"
        )


def measure_parity(exported: ExportedModel, model: Model, images: ImageSource, views: ExportedViews) -> Parity:
    """Embed `images` with both models and compare the results. A value that is not finite is an infinite difference."""
    warn_of_squashed(images)
    images = SquashingTold(images)
    reference = model.embed(images, views=views)
    results = [exported.embed(images, batch_size) for batch_size in BATCH_SIZES]
    return Parity(
        images=len(images),
        embedding=max(_largest(result.vectors - reference.vectors) for result in results),
        norm=max(_relative(result.norms, reference.norms) for result in results),
        quality=max(_relative(result.quality, reference.quality) for result in results),
        cosine=min(_smallest_cosine(result, reference) for result in results),
    )


def _largest(difference: NDArray[np.float32]) -> float:
    return float(np.nan_to_num(np.abs(difference), nan=np.inf).max())


def _relative(found_N: NDArray[np.float32], reference_N: NDArray[np.float32]) -> float:
    return _largest(found_N - reference_N) / max(float(np.abs(reference_N).max()), 1e-12)


def _smallest_cosine(result: Embeddings, other: Embeddings) -> float:
    return float((result.vectors * other.vectors).sum(axis=1).min())
