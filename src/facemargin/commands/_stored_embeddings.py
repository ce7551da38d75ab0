"""Embeddings that `facemargin embed` stored, for verbs that need the model as well. Shapes: S sampled images."""

from pathlib import Path

import numpy as np

from facemargin.data.source import ImageSource, ImageSubset
from facemargin.errors import DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.models.model import Model
from facemargin.models.views import Views

_SAMPLE = 16

# bf16 changes a vector by less than 1e-4; other views, another alignment or another epoch by more than 1e-2.
_SAME_COSINE = 0.999
_SAME_LENGTH = 0.01


def stored_embeddings(
    path: Path, model: Model, faces: ImageSource, images: ImageSource, views: Views | None
) -> Embeddings:
    """The embeddings in the file `path` of the `images`, whose `faces` the model reads. Raises DataError if they are
    not, for 16 of them, what the model says."""
    stored = EmbeddingsFile(path).embed(images)
    sample_S = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
    now = model.embed(ImageSubset(faces, sample_S), views=views)
    if now.vectors.shape[1] != stored.vectors.shape[1]:
        raise DataError(
            f"{path}: its embeddings have {stored.vectors.shape[1]} values, those of the model {now.vectors.shape[1]}; "
            "store this model's with facemargin embed"
        )
    cosine_S = np.sum(now.vectors * stored.vectors[sample_S], axis=1)
    same_S = (cosine_S > _SAME_COSINE) & np.isclose(now.quality, stored.quality[sample_S], rtol=_SAME_LENGTH, atol=0)
    if not same_S.all():
        worst = int(np.argmin(np.where(same_S, 2, cosine_S)))
        at = sample_S[worst]
        raise DataError(
            f"{path}: the embedding of {images.describe(int(at))} is not what the model says of it (cosine "
            f"{cosine_S[worst]:.4f}, quality {stored.quality[at]:.4g} stored and {now.quality[worst]:.4g} now; "
            f"{np.count_nonzero(~same_S)} of {len(sample_S)} compared images differ): it is of another model, of other "
            "views, or the faces were found otherwise. Store them with facemargin embed and the same options"
        )
    return stored
