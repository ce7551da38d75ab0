"""Images of concurrent requests, computed together by the one thread that runs the network.

Nothing is waited for to fill a batch: whatever has come while the network was busy makes the next one. The functions
that embed are those of everybody else; only who calls the network is another. Shapes: B images, C colours, H × W
pixels.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from facemargin.models.model import Model
from facemargin.models.read_ahead import batches_of, read_ahead
from facemargin.models.transfer import Results
from facemargin.models.views import Views
from facemargin.serving.errors import too_late

Note = TypeVar("Note")
Watch = Callable[[int, int, float], None]
"""Is told after each batch how many images, of how many requests, took how many seconds."""

_local = threading.local()


def set_deadline(deadline: float | None) -> None:
    """Until when (`time.monotonic()`) this thread waits for the network; None: as long as it takes."""
    _local.deadline = deadline


def seconds_left() -> float | None:
    """Of this thread's deadline. Raises RequestError when it is over."""
    deadline = getattr(_local, "deadline", None)
    if deadline is None:
        return None
    left = float(deadline - time.monotonic())
    if left <= 0:
        raise too_late()
    return left


class _Part:
    """Pixels that wait for the network."""

    def __init__(self, pixels_BCHW: Tensor, views: Views | None) -> None:
        self.pixels_BCHW, self.views = pixels_BCHW, views
        self.results: Future[Results] = Future()


class NetworkWorker:
    """The thread that runs the network of a model, with the weights that it has now, for all others."""

    def __init__(self, model: Model, batch_size: int | None = None, watch: Watch | None = None) -> None:
        self._model, self._watch = model.unchanging(), watch
        self._batch_size = model.batch_size if batch_size is None else batch_size
        self._waiting: deque[_Part] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)
        self._thread.start()

    def compute(self, pixels_BCHW: Tensor, views: Views | None) -> Results:
        """The features and predicted qualities of pixels (B, C, H, W) uint8 RGB, as `Model.features_of` yields them.
        Raises RequestError when the deadline of this thread is over, and what the network raises."""
        part = _Part(pixels_BCHW, views)
        with self._changed:
            if self._closed:
                raise RuntimeError("the service is closed")
            self._waiting.append(part)
            self._changed.notify()
        try:
            return part.results.result(seconds_left())
        except TimeoutError as error:
            part.results.cancel()
            raise too_late() from error

    def close(self) -> None:
        """Compute what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while parts := self._next():
            begun = time.perf_counter()
            wanted = [part for part in parts if part.results.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)
                if self._watch is not None:
                    images = sum(len(part.pixels_BCHW) for part in wanted)
                    self._watch(images, len(wanted), time.perf_counter() - begun)

    def _next(self) -> list[_Part]:
        """The first part that waits, with those after it of the same views that fit into the batch; none when all is
        done and the worker is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            taken: list[_Part] = []
            images = 0
            for part in list(self._waiting):
                if taken and (part.views != taken[0].views or images + len(part.pixels_BCHW) > self._batch_size):
                    continue
                taken.append(part)
                images += len(part.pixels_BCHW)
                self._waiting.remove(part)
            return taken

    def _answer(self, parts: Sequence[_Part]) -> None:
        try:
            results = self._results(torch.cat([part.pixels_BCHW for part in parts]), parts[0].views)
        except BaseException as error:
            if len(parts) > 1:  # what fails with one request's images is not to fail another's
                for part in parts:
                    self._answer([part])
            else:
                parts[0].results.set_exception(error)
            return
        start = 0
        for part in parts:
            end = start + len(part.pixels_BCHW)
            part.results.set_result([array[start:end] for array in results])
            start = end

    def _results(self, pixels_BCHW: Tensor, views: Views | None) -> Results:
        def read(batch: range) -> tuple[Tensor, None]:
            return pixels_BCHW[batch.start : batch.stop], None

        batches = batches_of(len(pixels_BCHW), self._batch_size)
        found = [results for _, _, results in self._model.features_of(read, batches, 1, views)]
        return [np.concatenate(arrays) for arrays in zip(*found, strict=True)]


class BatchedModel(Model):
    """`model`, whose network is run by `worker` for any number of threads; all that embeds takes it for the model."""

    def __init__(self, model: Model, worker: NetworkWorker) -> None:
        self.info, self.recognizer, self.device, self.precision = (
            model.info, model.recognizer, model.device, model.precision,
        )  # fmt: skip
        self._worker = worker

    def features_of(
        self,
        read: Callable[[range], tuple[Tensor | None, Note]],
        batches: Sequence[range],
        readers: int,
        views: Views | None = None,
    ) -> Iterator[tuple[range, Note, Results]]:
        """See `Model.features_of`."""
        for batch, (pixels_BCHW, note) in read_ahead(read, batches, readers):
            if pixels_BCHW is None:
                yield batch, note, [tensor.cpu().numpy() for tensor in self._no_images()]
            else:
                yield batch, note, self._worker.compute(pixels_BCHW, views)
