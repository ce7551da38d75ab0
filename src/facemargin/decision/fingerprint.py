"""Distinguishes models by their answers. Shapes: D embedding size, H × W pixels."""

from collections.abc import Sequence

import cv2
import numpy as np

from facemargin.data.source import RGBImage
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.model import Model
from facemargin.models.views import Views

_SEED = 20260101
_SIDE = 112

# bf16 on a processor without its instructions changes a vector by less than 1e-4; another epoch changes it by more than
# 1e-2.
_SAME_COSINE = 0.999


def fingerprint(model: Model, views: Views | None = None) -> list[float]:
    """The features (D values, not normalised) of a model for a fixed coloured pattern.

    They do not depend on the file of the model, and hardly on the processor or the precision. Other weights, colour
    order, normalisation or views give other features.
    """
    embeddings: Embeddings = model.embed([_pattern()], views=views)
    return [float(f"{value:.6g}") for value in embeddings.vectors[0] * embeddings.norms[0]]


def is_same_model(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    """Whether two fingerprints belong to the same model: cosine above 0.999 and lengths within 1 %."""
    if len(ours) != len(theirs):
        return False
    ours_D, theirs_D = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    lengths = float(np.linalg.norm(ours_D)), float(np.linalg.norm(theirs_D))
    if not min(lengths) > 0 or abs(lengths[0] / lengths[1] - 1) > 0.01:
        return ours == theirs
    return float(ours_D @ theirs_D) / (lengths[0] * lengths[1]) > _SAME_COSINE


def _pattern() -> RGBImage:
    """Coloured blobs of several sizes."""
    generator = np.random.Generator(np.random.Philox(_SEED))
    image = np.zeros((_SIDE, _SIDE, 3))
    for side in (4, 14, 56):
        blobs = generator.uniform(-1, 1, (side, side, 3))
        image += cv2.resize(blobs, (_SIDE, _SIDE), interpolation=cv2.INTER_LINEAR)
    return np.clip(127.5 + 60 * image, 0, 255).astype(np.uint8)
