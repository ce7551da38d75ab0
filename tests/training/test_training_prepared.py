"""Batches are prepared one ahead, and everything still happens in the step it belongs to."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.data.images.pixels import normalize
from facemargin.training import prepared as module
from facemargin.training.prepared import PreparedBatch, prepare, prepared_ahead
from facemargin.training.step import training_step
from tests.training.training_objects import random_batch, tiny_state, weights

LABELS = [0, 1, 2, 0]


def batches(number):
    return [random_batch(LABELS, seed=seed) for seed in range(number)]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_every_batch_comes_once_in_order_and_one_is_read_ahead(number):
    read = []

    def reading():
        for seed, batch in enumerate(batches(number)):
            read.append(seed)
            yield batch

    seen = []
    for position, one in enumerate(prepared_ahead(tiny_state(), reading())):
        assert len(read) == min(position + 2, number)
        seen.append(one.batch.images_BCHW)
        assert torch.equal(one.images_BCHW, normalize(one.batch.images_BCHW)) and len(one) == 4
    expected = batches(number)
    assert len(seen) == number and all(torch.equal(a, b.images_BCHW) for a, b in zip(seen, expected, strict=True))


def test_steps_on_prepared_batches_are_those_on_batches():
    one, other = tiny_state(), tiny_state()
    for batch in batches(3):
        training_step(one, batch, 0.1)
    for batch in prepared_ahead(other, batches(3)):
        training_step(other, batch, 0.1)
    assert all(torch.equal(value, weights(other)[key]) for key, value in weights(one).items())


def test_draws_are_applied_before_the_pixels_are_normalised():
    batch = random_batch(LABELS)
    drawn = [AugmentationDraws(flip=True), AugmentationDraws(), AugmentationDraws(grayscale=True), AugmentationDraws()]
    batch = module.TrainingBatch(batch.images_BCHW, batch.labels_B, batch.indices_B, [], draws=drawn)
    expected = normalize(augment_batch(batch.images_BCHW, drawn))
    assert torch.equal(prepare(tiny_state(), batch).images_BCHW, expected)
    assert prepare(tiny_state(precision="float64"), batch).images_BCHW.dtype == torch.float64


@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("where", ["reading", "preparing"])
def test_an_error_is_raised_after_the_steps_before_it(where, number):
    def reading():
        yield from batches(number)
        if where == "reading":
            raise OSError("the disk is gone")
        yield "no batch"

    steps = 0
    with pytest.raises(OSError if where == "reading" else AttributeError):
        for _ in prepared_ahead(tiny_state(), reading()):
            steps += 1
    assert steps == number


def test_leaving_stops_the_workers():
    class Loader:
        stopped = False

        def __iter__(self):
            return self

        def __next__(self):
            return random_batch(LABELS)

        def _shutdown_workers(self):
            self.stopped = True

    loader = Loader()
    ahead = prepared_ahead(tiny_state(), loader)
    next(ahead)
    ahead.close()
    assert loader.stopped


def test_on_a_gpu_a_batch_is_made_on_a_stream_of_its_own_and_the_step_waits_for_it(monkeypatch):
    done = []

    class Stream:
        def record_event(self):
            done.append("event")
            return "the event"

    @contextmanager
    def on(stream):
        done.append("side")
        yield
        done.append("end of side")

    monkeypatch.setattr(torch.cuda, "stream", on)
    network_input = module._network_input
    monkeypatch.setattr(module, "_network_input", lambda *given: done.append("prepared") or network_input(*given))
    one = prepare(tiny_state(), random_batch(LABELS), Stream())
    assert done == ["side", "prepared", "event", "end of side"] and one.ready == "the event"
    main = SimpleNamespace(wait_event=lambda event: done.append(f"wait for {event}"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: main)
    images = SimpleNamespace(device="cuda", record_stream=lambda stream: done.append(("images", stream is main)))
    PreparedBatch(one.batch, images, one.ready).wait()
    assert done[4:] == ["wait for the event", ("images", True)]
