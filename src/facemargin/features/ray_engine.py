"""Computes the pieces of a feature store with Ray Data, on the processes of one machine or of a cluster.

Two pools of processes: readers decode images (and find and align faces where the source does), embedders have the
model, each on its own GPU where the cluster has any. A row is a piece; an embedder writes it to its file. Ray starts a
process that dies again, and gives its piece to another.
"""

import json
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from facemargin.data.source import ArrayImages, ImageSource
from facemargin.errors import ConfigError
from facemargin.features.pieces import Pieces, Rows, join_rows, rows_of
from facemargin.features.ray_cluster import Cluster
from facemargin.features.store import features_key
from facemargin.models.model import Model
from facemargin.models.readable import ReadBatch, read_readable, results_of_read
from facemargin.models.views import Views
from facemargin.version import __version__


@dataclass(frozen=True)
class Work:
    """What every process has to know; it can be pickled. `load` returns the model on a device, "cpu" or "cuda"; `open`
    the images; `take_notes` what a process has noticed while reading, as JSON can store it. `key_of` the model is the
    key, and `views` the views, of `features_key`. Relative paths are those of `folder`. With `threads` a network on the
    CPU computes; the last bits depend on it."""

    load: Callable[[str], Model]
    open: Callable[[], ImageSource]
    take_notes: Callable[[Any], dict[str, Any]]
    key_of: Callable[[Model], str]
    views: Views | None
    folder: str
    threads: int
    device: str


@dataclass(frozen=True)
class ModelFacts:
    """What the process that starts the others has to know of the model, which it does not load itself. `model_key`
    identifies the model on every machine, `key` also the images."""

    key: str
    model_key: str
    where: str
    quality: str
    batch_size: int
    embedding_size: int
    input_size: int


@dataclass(frozen=True)
class PieceDone:
    """A `piece` is in its file, with the errors of its images and what was noticed while reading; `worker` names the
    process, and `restarted` says whether it replaces one that died."""

    piece: range
    messages: dict[int, str]
    notes: dict[str, Any]
    worker: str
    restarted: bool


def model_facts(cluster: Cluster, work: Work) -> ModelFacts:
    """Load the model in a process of the cluster that could compute with it."""
    return cluster.call(_facts, cluster.share(work), gpus=1 if work.device == "cuda" else 0)


def run_pieces(
    cluster: Cluster, work: Work, facts: ModelFacts, pieces: Pieces, missing: list[range]
) -> Iterator[PieceDone]:
    """Compute the `missing` ones of the `pieces`; yields each when it is in its file, in any order. Raises the errors
    of the processes."""
    shared = cluster.share(work)
    pools = cluster.pools(work.device, work.threads)
    rows = [{"start": piece.start, "stop": piece.stop} for piece in missing]
    given = (shared, pieces, facts)
    for row in cluster.rows(rows, [(_ReadPieces, given, pools.readers), (_EmbedPieces, given, pools.embedders)]):
        told = json.loads(row["told"])
        messages = {int(index): text for index, text in told["messages"].items()}
        piece = range(int(row["start"]), int(row["stop"]))
        yield PieceDone(piece, messages, told["notes"], told["worker"], told["restarted"])


def _begin(shared: list[Any]) -> Work:
    import ray

    (reference,) = shared
    work: Work = ray.get(reference)
    try:
        os.chdir(work.folder)
    except OSError as error:
        raise ConfigError(
            f"{work.folder} cannot be entered on {socket.gethostname()}: {error.strerror}. Every machine needs the "
            "images, the model and the output folder under the same paths, as on a shared file system"
        ) from error
    torch.set_num_threads(work.threads if work.device == "cpu" else 1)
    return work


def _facts(shared: list[Any]) -> ModelFacts:
    work = _begin(shared)
    model = work.load(work.device)
    return ModelFacts(
        key=features_key(model, work.open(), work.views, work.key_of(model)),
        model_key=_model_key(model, work),
        where=model.where(),
        quality=model.info.quality,
        batch_size=model.batch_size,
        embedding_size=model.info.embedding_size,
        input_size=model.info.input_size,
    )


def _model_key(model: Model, work: Work) -> str:
    versions = f"{__version__} {torch.__version__}"
    return features_key(model, ArrayImages([]), work.views, f"{work.key_of(model)} {versions}")


class _ReadPieces:
    """A process that reads. Called with the row of a piece, returns its pixels."""

    def __init__(self, shared: list[Any], pieces: Pieces, facts: ModelFacts) -> None:
        self._work = _begin(shared)
        torch.set_num_threads(1)
        self._images = self._work.open()
        self._pieces, self._size = pieces, facts.input_size

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        piece = range(int(row["start"]), int(row["stop"]))
        pixels_RCHW, (indices, messages) = read_readable(self._images, self._size, piece)
        told = {
            "indices": indices,
            "messages": messages,
            "names": [self._images.describe(index) for index in indices],
            "notes": self._work.take_notes(self._images),
        }
        flat = np.empty(0, np.uint8) if pixels_RCHW is None else pixels_RCHW.permute(0, 2, 3, 1).numpy().reshape(-1)
        return {**row, "pixels": flat, "told": json.dumps(told)}


class _EmbedPieces:
    """A process with the model. Called with a row of `_ReadPieces`, writes the piece."""

    def __init__(self, shared: list[Any], pieces: Pieces, facts: ModelFacts) -> None:
        import ray

        work = _begin(shared)
        self._pieces, self._views, self._size = pieces, work.views, facts.input_size
        self._model = work.load(work.device)
        host = socket.gethostname()
        if _model_key(self._model, work) != facts.model_key:
            raise ConfigError(
                f"{host} has another model, or another version of facemargin or torch, than the machine that was "
                "asked first: install the same versions and put the same model on every machine"
            )
        self._worker = f"{host}, process {os.getpid()}"
        self._restarted = bool(ray.get_runtime_context().was_current_actor_reconstructed)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        piece, told = range(int(row["start"]), int(row["stop"])), json.loads(row["told"])
        names = dict(zip(told["indices"], told["names"], strict=True))
        messages = {int(index): message for index, message in told["messages"].items()}
        read = _read_of(np.asarray(row["pixels"]), told["indices"], messages, self._size)
        batches = self._pieces.batches(piece)
        parts: list[Rows] = [
            rows_of(results)
            for results in results_of_read(self._model, read, batches, 1, self._views, names.__getitem__)
        ]
        self._pieces.write(piece, join_rows(parts), messages)
        about = {"worker": self._worker, "restarted": self._restarted}
        done = {"messages": messages, "notes": told["notes"], **about}
        return {"start": piece.start, "stop": piece.stop, "told": json.dumps(done)}


def _read_of(flat: Any, indices: list[int], messages: dict[int, str], size: int) -> Callable[[range], ReadBatch]:
    """A function that "reads" a batch of a piece from the pixels of all its readable images."""
    pixels_RHWC = flat.reshape(-1, size, size, 3)

    def read(batch: range) -> ReadBatch:
        first, stop = np.searchsorted(indices, [batch.start, batch.stop])
        errors = {index: message for index, message in messages.items() if index in batch}
        if first == stop:
            return None, ([], errors)
        pixels_BHWC = torch.from_numpy(pixels_RHWC[first:stop].copy())  # Ray's memory may not be written to
        return pixels_BHWC.permute(0, 3, 1, 2), (indices[first:stop], errors)

    return read
