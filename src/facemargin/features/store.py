"""Stores features of any number of images on disk. Extraction can resume; the arrays are memory-mapped.

Shapes: N images, D embedding size.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError, DataError
from facemargin.features.pieces import Pieces, Rows, join_rows, piece_size, rows_done, rows_of
from facemargin.features.store_files import FeatureFiles
from facemargin.models.model import Model, Progress
from facemargin.models.read_ahead import batches_of
from facemargin.models.readable import readable_results
from facemargin.models.views import Views

SECONDS_A_BLOCK = 5.0
"""How often, in seconds, results are flushed to disk. A killed process loses at most this much work."""

HOPELESS = 1000
"""If this number of images has no readable one, the folder is wrong rather than damaged."""


@dataclass(frozen=True)
class StoredFeatures:
    """Memory-mapped, read-only: `features_ND` float32, not normalised, `norms_N` their lengths, `quality_N` (the norm
    unless the model predicts one). `readable_N` is False if the image could not be read or aligned; its features, norm
    and quality are then zero, and `unreadable` {index: message} has the error."""

    features_ND: NDArray[np.float32]
    norms_N: NDArray[np.float32]
    quality_N: NDArray[np.float32]
    readable_N: NDArray[np.bool_]
    unreadable: dict[int, str]

    def __len__(self) -> int:
        return len(self.features_ND)


def features_key(model: Model, images: ImageSource, views: Views | None = None, key: str = "") -> str:
    """A fingerprint (64 hexadecimal digits) of everything that features depend on: the model's weights and description,
    the views, the names of the images in order, and `key`, which the caller gives for other facts (landmarks, or the
    file of an ONNX model, which has no weights here). Pixels are not included, so a changed file with the same name is
    not noticed. Raises ConfigError for a model without weights if there is no key."""
    state = model.recognizer.state_dict()
    if not state and not key:
        raise ConfigError(
            "this model has no weights from which a fingerprint can be made: give a key that identifies its file"
        )
    digest = hashlib.sha256(json.dumps([key, views or model.info.views, _input(model)]).encode())
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())  # also bfloat16
    for index in range(len(images)):
        digest.update(images.describe(index).encode(errors="surrogateescape") + b"\n")
    return digest.hexdigest()


def extract_features(
    model: Model,
    images: ImageSource,
    folder: Path,
    key: str | None = None,
    batch_size: int | None = None,
    views: Views | None = None,
    progress: Progress | None = None,
) -> StoredFeatures:
    """Compute the features of all `images` and store them in `folder`. Features from an earlier call are not computed
    again.

    `key` identifies everything that the features depend on, by default `features_key(model, images, views)`. If a call
    is killed at any moment, the next call with the same arguments continues it; at most `SECONDS_A_BLOCK` seconds of
    work are lost. Images that cannot be read are marked, and the next call tries them again. `progress(done, all)` is
    called after every batch. Images are read while the model computes.

    Raises DataError if `folder` has features of other images or another model, if it cannot be written or the disk is
    full (stored features stay usable), if the first `HOPELESS` images, or all images, cannot be read, and if the model
    returns a value that is not finite (the message names the image).
    """
    key = features_key(model, images, views) if key is None else key
    batch_size = model.batch_size if batch_size is None else batch_size
    files = FeatureFiles(folder, key, len(images), model.info.embedding_size)
    batches = _batches(files, batch_size)
    pieces = Pieces(folder, key, len(images), model.info.embedding_size, batch_size)
    pieces_there = pieces.check()
    if pieces_there:
        batches = _without_pieces(batches, pieces, files.done)
    with files:
        saved = time.monotonic()
        for results in readable_results(model, images, batches, views):
            if pieces_there:
                take_up_pieces(pieces, files, progress)
            files.write(results.batch, *rows_of(results), results.messages)
            _require_readable(images, files)
            if time.monotonic() - saved > SECONDS_A_BLOCK:
                files.save()
                saved = time.monotonic()
            if progress is not None:
                progress(files.done, len(images))
        if pieces_there:
            take_up_pieces(pieces, files, progress)
            _require_readable(images, files)
        files.save()
        pieces.remove(files.done)
    return stored_features(files)


def compute_pieces(
    model: Model,
    images: ImageSource,
    pieces: Pieces,
    mine: Sequence[range],
    views: Views | None = None,
    progress: Progress | None = None,
) -> dict[int, str]:
    """Compute those `mine` of the `pieces` that nobody has computed, each into its file; returns {index: error} of
    images that cannot be read. A later call of `extract_features` puts all pieces together. `progress(done, all)`
    counts images of `mine`. Raises what `extract_features` raises."""
    pieces.begin()
    done = rows_done(pieces.folder, pieces.key)
    missing = [piece for piece in mine if not pieces.is_done(piece, done)]
    done, total = sum(map(len, mine)) - sum(map(len, missing)), sum(map(len, mine))
    batches = [batch for piece in missing for batch in pieces.batches(piece)]
    results = readable_results(model, images, batches, views)
    unreadable: dict[int, str] = {}
    for piece in missing:
        parts: list[Rows] = []
        messages: dict[int, str] = {}
        for batch in pieces.batches(piece):
            of_batch = next(results)
            parts.append(rows_of(of_batch))
            messages |= of_batch.messages
            done += len(batch)
            if progress is not None:
                progress(done, total)
        pieces.write(piece, join_rows(parts), messages)
        unreadable |= messages
        if len(unreadable) == done >= min(HOPELESS, total):
            raise none_readable(images, done, unreadable)
    return unreadable


def take_up_pieces(pieces: Pieces, files: FeatureFiles, progress: Progress | None = None) -> None:
    """Append the pieces that follow the arrays, as far as there are any without a gap, and delete them."""
    saved = time.monotonic()
    done = files.done
    for _ in pieces.take_up(files):
        if time.monotonic() - saved > SECONDS_A_BLOCK:
            files.save()
            pieces.remove(files.done)
            saved = time.monotonic()
        if progress is not None:
            progress(files.done, files.count)
    if files.done > done:
        files.save()
        pieces.remove(files.done)


def stored_features(files: FeatureFiles) -> StoredFeatures:
    """The arrays of files whose rows are all there."""
    readable_N = np.ones(files.count, dtype=bool)
    readable_N[list(files.unreadable)] = False
    return StoredFeatures(*files.arrays(), readable_N, dict(files.unreadable))


def _input(model: Model) -> list[object]:
    info = model.info
    fed = [info.backbone, info.input_size, info.embedding_size, info.color_order, info.mean, info.std, info.quality]
    return [*fed, model.precision]


def _batches(files: FeatureFiles, batch_size: int) -> list[range]:
    """The remaining work: images that could not be read before, one by one, and all images after the last finished
    one."""
    again = [range(index, index + 1) for index in sorted(files.unreadable)]
    return again + batches_of(files.count, batch_size, first=files.done)


def _without_pieces(batches: list[range], pieces: Pieces, done: int) -> list[range]:
    """The batches that have to be computed: those among the first `done` rows, which are tried again, and those with an
    image that is in no piece."""
    there = [pieces.path(piece).is_file() for piece in pieces.ranges]
    size = piece_size(pieces.count, pieces.batch_size)

    def in_pieces(batch: range) -> bool:
        return all(there[batch.start // size : (batch.stop - 1) // size + 1])

    return [batch for batch in batches if batch.start < done or not in_pieces(batch)]


def _require_readable(images: ImageSource, files: FeatureFiles) -> None:
    if len(files.unreadable) == files.done >= min(HOPELESS, max(1, len(images))):
        files.save()
        raise none_readable(images, files.done, files.unreadable)


def none_readable(images: ImageSource, done: int, unreadable: dict[int, str]) -> DataError:
    first = next(iter(unreadable.values()), "there are none")
    return DataError(f"none of the first {counted(done, 'image')} of {images.name} can be read; {first}")
