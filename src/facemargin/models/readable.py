"""Embedding the images that can be read, and naming those that cannot.

Shapes: N images, R of them readable, D embedding size.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import none_readable
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import DataError, ImageError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.model import Model, Progress
from facemargin.models.read_ahead import batches_of, read_ahead
from facemargin.models.views import Views


@dataclass(frozen=True)
class ReadableEmbeddings:
    """`embeddings` of the images at `indices_R` of the source; `unreadable` says what is wrong with each other one."""

    embeddings: Embeddings
    indices_R: NDArray[np.int64]
    unreadable: list[str]


def read_readable(images: ImageSource, size: int, batch: range) -> tuple[dict[int, RGBImage], dict[int, str]]:
    """{index: image at `size`} of a batch, and {index: what is wrong with it}."""
    faces, messages = {}, {}
    for index in batch:
        try:
            faces[index] = resize_square(images.read(index), size)
        except ImageError as error:
            messages[index] = str(error)
    return faces, messages


def embed_readable(
    model: Model,
    images: ImageSource,
    batch_size: int = 64,
    views: Views | None = None,
    progress: Progress | None = None,
) -> ReadableEmbeddings:
    """As `Model.embed`, but images that cannot be read are left out and named.

    Raises DataError where none can be read and, naming the image, where the model gives a value that is not finite.
    """
    indices: list[int] = []
    unreadable: list[str] = []
    batches: list[Embeddings] = []
    read = partial(read_readable, images, model.info.input_size)
    for batch, (faces, messages) in read_ahead(read, batches_of(len(images), batch_size)):
        indices += faces
        unreadable += messages.values()
        batches.append(model.embed(list(faces.values()), batch_size, views))
        if progress is not None:
            progress(batch.stop, len(images))
    if not indices:
        raise DataError(f"{none_readable(len(images), images.name)}; {'; '.join(unreadable[:1])}")
    embeddings = Embeddings(
        vectors=np.concatenate([batch.vectors for batch in batches]),
        norms=np.concatenate([batch.norms for batch in batches]),
        quality=np.concatenate([batch.quality for batch in batches]),
    )
    finite_R = np.isfinite(embeddings.norms) & np.isfinite(embeddings.quality)
    if not finite_R.all():
        raise DataError(
            f"the model gave {images.describe(indices[int(np.argmin(finite_R))])} a value that is not finite"
        )
    return ReadableEmbeddings(embeddings, np.array(indices, dtype=np.int64), unreadable)
