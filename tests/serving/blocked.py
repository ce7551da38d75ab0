"""A model whose network waits until it is let go."""

import threading

from facemargin.models.model import Model


class Blocked(Model):
    """`model`, whose network notes the images of each batch in `batches` and waits for `free`."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.recognizer, model.info)
        self.free, self.busy = threading.Event(), threading.Event()
        self.free.set()
        self.batches: list[int] = []

    def _run(self, recognizer, pixels_BCHW, views):
        self.batches.append(len(pixels_BCHW))
        self.busy.set()
        assert self.free.wait(60)
        return super()._run(recognizer, pixels_BCHW, views)

    def block(self) -> None:
        self.free.clear()
        self.busy.clear()
