"""Embeds the images that can be read, and names those that cannot.

Shapes: N images, R of them readable, D embedding size.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from facemargin.counting import none_readable
from facemargin.data.images.pixels import resize_square, stack_images, to_tensor
from facemargin.data.source import ImageSource
from facemargin.data.squareness import squashed_counted
from facemargin.errors import DataError, ImageError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.model import Model, Progress
from facemargin.models.read_ahead import batches_of, num_readers
from facemargin.models.views import Views


@dataclass(frozen=True)
class ReadableEmbeddings:
    """`embeddings` of the images at `indices_R` of the source. `unreadable` has the errors of all other images."""

    embeddings: Embeddings
    indices_R: NDArray[np.int64]
    unreadable: list[str]


@dataclass(frozen=True)
class ReadableResults:
    """What a model says of the images of a `batch` that can be read, those at `indices`: the features, norms and
    qualities of `embeddings`. `messages` {index: error} of the others."""

    batch: range
    indices: list[int]
    messages: dict[int, str]
    embeddings: Embeddings


def readable_results(
    model: Model, images: ImageSource, batches: Sequence[range], views: Views | None
) -> Iterator[ReadableResults]:
    """Yields the results of every batch, in order. Raises DataError if the model returns a value that is not finite
    (the message names the image)."""
    with squashed_counted(images) as source:
        yield from _results(model, source, batches, views)


def _results(
    model: Model, images: ImageSource, batches: Sequence[range], views: Views | None
) -> Iterator[ReadableResults]:
    size = model.info.input_size

    def read(batch: range) -> ReadBatch:
        return read_readable(images, size, batch)

    yield from results_of_read(model, read, batches, num_readers(images, model.device), views, images.describe)


ReadBatch = tuple[Tensor | None, tuple[list[int], dict[int, str]]]
"""The pixels (B, C, H, W) uint8 RGB of the readable images of a batch, None without one; their indices, and {index:
error} of the others."""


def read_readable(images: ImageSource, size: int, batch: range) -> ReadBatch:
    """Read the images of a batch, resized to `size` × `size` pixels."""
    pixels, messages = {}, {}
    for index in batch:
        try:
            pixels[index] = to_tensor(resize_square(images.read(index), size))
        except ImageError as error:
            messages[index] = str(error)
    return stack_images(list(pixels.values())) if pixels else None, (list(pixels), messages)


def results_of_read(
    model: Model,
    read: Callable[[range], ReadBatch],
    batches: Sequence[range],
    readers: int,
    views: Views | None,
    describe: Callable[[int], str],
) -> Iterator[ReadableResults]:
    """`readable_results` of what `read` returns, wherever it was read; `describe` names an image."""
    for batch, (indices, messages), results in model.features_of(read, batches, readers, views):
        embeddings = model.embeddings(results)
        finite_R = np.isfinite(embeddings.norms) & np.isfinite(embeddings.quality)
        if not finite_R.all():
            where = describe(indices[int(np.argmin(finite_R))])
            raise DataError(f"the model returned a value that is not finite for {where}")
        yield ReadableResults(batch, indices, messages, embeddings)


def embed_readable(
    model: Model,
    images: ImageSource,
    batch_size: int | None = None,
    views: Views | None = None,
    progress: Progress | None = None,
) -> ReadableEmbeddings:
    """As `Model.embed`, but images that cannot be read are left out and named.

    Raises DataError if no image can be read, and if the model returns a value that is not finite (the message names the
    image).
    """
    indices: list[int] = []
    unreadable: list[str] = []
    parts: list[Embeddings] = []
    batches = batches_of(len(images), model.batch_size if batch_size is None else batch_size)
    for results in readable_results(model, images, batches, views):
        indices += results.indices
        unreadable += results.messages.values()
        parts.append(results.embeddings)
        if progress is not None:
            progress(results.batch.stop, len(images))
    if not indices:
        raise DataError(f"{none_readable(len(images), images.name)}; {'; '.join(unreadable[:1])}")
    embeddings = Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        norms=np.concatenate([part.norms for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
    )
    return ReadableEmbeddings(embeddings, np.array(indices, dtype=np.int64), unreadable)
