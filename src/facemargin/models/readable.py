"""Embeds the images that can be read, and names those that cannot.

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
    """`embeddings` of the images at `indices_R` of the source. `unreadable` has the errors of all other images."""

    embeddings: Embeddings
    indices_R: NDArray[np.int64]
    unreadable: list[str]


def read_readable(images: ImageSource, size: int, batch: range) -> tuple[dict[int, RGBImage], dict[int, str]]:
    """{index: image at `size`} and {index: error} of a batch."""
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

    Raises DataError if no image can be read, and if the model returns a value that is not finite (the message names the
    image).
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
            f"the model returned a value that is not finite for {images.describe(indices[int(np.argmin(finite_R))])}"
        )
    return ReadableEmbeddings(embeddings, np.array(indices, dtype=np.int64), unreadable)
