"""Batches as the networks take them: on the device, augmented and normalised, one ahead of the step that needs them.

Shapes: B images of this process in a step, C colours, H × W pixels.
"""

import contextlib
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.images.pixels import normalize
from facemargin.data.training_set import TrainingBatch
from facemargin.timing import section
from facemargin.training.state import TrainingState


@dataclass(frozen=True)
class PreparedBatch:
    """`batch`, as it was read, with its labels, and its images as the network's input, on the device. Where these are
    made on a stream of their own, `wait` comes before their first use."""

    batch: TrainingBatch
    images_BCHW: Tensor
    ready: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self.batch)

    def wait(self) -> None:
        """Let the current stream wait for the images; the host goes on."""
        if self.ready is None:
            return
        stream = torch.cuda.current_stream(self.images_BCHW.device)
        stream.wait_event(self.ready)
        self.images_BCHW.record_stream(stream)  # else its memory would be used again before this stream has read it


def prepare(state: TrainingState, batch: TrainingBatch, stream: torch.cuda.Stream | None = None) -> PreparedBatch:
    """Copy a batch to the device, augment it there if it is to be, and normalise it: on `stream`, if one is given,
    beside what the device is computing."""
    with section("transfer"), contextlib.nullcontext() if stream is None else torch.cuda.stream(stream):
        images_BCHW = _network_input(state, batch)
        ready = None if stream is None else stream.record_event()
    return PreparedBatch(batch, images_BCHW, ready)


def prepared_ahead(state: TrainingState, batches: Iterable[TrainingBatch]) -> Generator[PreparedBatch, None, None]:
    """The batches, each prepared before the step on the one before it is taken: while a GPU computes that step.

    What goes wrong while a batch is read or prepared is raised in its turn.
    """
    stream = torch.cuda.Stream(state.device) if state.device.type == "cuda" else None
    remaining = iter(batches)
    ahead: PreparedBatch | None = None
    try:
        while True:
            error: Exception | None = None
            following: PreparedBatch | None = None
            try:
                batch = next(remaining, None)
                following = None if batch is None else prepare(state, batch, stream)
            except Exception as raised:
                error = raised
            if ahead is not None:
                yield ahead
            if error is not None:
                raise error
            if following is None:
                return
            ahead = following
    finally:
        _stop_workers(remaining)


def _stop_workers(batches: Iterator[Any]) -> None:
    """Of a DataLoader that is left before its end. torch does so when the last reference is gone, but an error's
    traceback holds one until the program ends, which then complains of workers that are still there."""
    stop = getattr(batches, "_shutdown_workers", None)
    if stop is not None:
        stop()


def _network_input(state: TrainingState, batch: TrainingBatch) -> Tensor:
    images_BCHW = batch.images_BCHW.to(state.device, non_blocking=True)
    if batch.draws is not None:
        images_BCHW = augment_batch(images_BCHW, batch.draws)
    images_BCHW = normalize(images_BCHW)
    if state.recipe.precision == "float64":
        images_BCHW = images_BCHW.double()
    channels_last = state.recipe.channels_last
    return images_BCHW.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
