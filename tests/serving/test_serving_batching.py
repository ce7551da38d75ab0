"""Images of several threads, computed together: the same answers as alone."""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from facemargin.models.input import read_pixels
from facemargin.serving.batching import BatchedModel, NetworkWorker
from tests.serving.blocked import Blocked


def pixels(parts, first, count=1):
    return read_pixels(parts.faces, 64, range(first, first + count))


def together(parts, worker, model, jobs):
    """The results of `jobs`, (pixels, views), or their errors, that wait while another batch is computed."""
    model.block()
    with ThreadPoolExecutor(len(jobs) + 1) as threads, contextlib.ExitStack() as stack:
        stack.callback(model.free.set)
        first = threads.submit(worker.compute, pixels(parts, 39), None)
        assert model.busy.wait(60)
        waiting = []
        for count, job in enumerate(jobs, 1):  # in this order
            waiting.append(threads.submit(worker.compute, *job))
            while len(worker._waiting) < count:
                threading.Event().wait(0.001)
        model.free.set()
        first.result(60)
        return [future.exception(60) or future.result() for future in waiting]


def test_what_waits_is_computed_together_and_as_alone(parts):
    model = Blocked(parts.model)
    worker = NetworkWorker(model)
    jobs = [(pixels(parts, 3 * number, 1 + number % 3), None) for number in range(8)]
    jobs.insert(4, (pixels(parts, 30), "one"))
    found = together(parts, worker, model, jobs)
    assert model.batches == [1, 15, 1]  # those of the same views together, in the order of the first
    for (given, views), (features,) in zip(jobs, found, strict=True):
        (alone,) = worker.compute(given, views)
        assert features.shape == alone.shape
        cosine = (features * alone).sum(1) / np.linalg.norm(features, axis=1) / np.linalg.norm(alone, axis=1)
        np.testing.assert_allclose(cosine, 1, atol=1e-6)
        np.testing.assert_allclose(features, alone, rtol=1e-4, atol=1e-5)
    worker.close()


def test_a_batch_size_of_one_gives_the_bits_of_one(parts):
    model = Blocked(parts.model)
    worker = NetworkWorker(model, batch_size=1)
    found = together(parts, worker, model, [(pixels(parts, number), None) for number in range(4)])
    assert model.batches == [1] * 5
    for number, (features,) in enumerate(found):
        embeddings = parts.model.embed(parts.faces.read(number))
        assert np.array_equal(parts.model.embeddings([features]).vectors, embeddings.vectors)
    worker.close()


def test_embedding_through_the_worker_has_the_bits_of_the_model(parts):
    worker = NetworkWorker(parts.model)
    model = BatchedModel(parts.model, worker)
    images = [parts.faces.read(number) for number in range(7)]
    ours, theirs = model.embed(images, batch_size=3), parts.model.embed(images, batch_size=3)
    assert np.array_equal(ours.vectors, theirs.vectors) and np.array_equal(ours.quality, theirs.quality)
    worker.close()


def test_what_fails_with_one_request_fails_no_other(parts):
    class Fragile(Blocked):
        def _run(self, recognizer, pixels_BCHW, views):
            if (pixels_BCHW == 0).all((1, 2, 3)).any():
                raise RuntimeError("black")
            return super()._run(recognizer, pixels_BCHW, views)

    model = Fragile(parts.model)
    worker = NetworkWorker(model)
    black, good = torch.zeros_like(pixels(parts, 0)), pixels(parts, 1)
    bad, (features,) = together(parts, worker, model, [(black, None), (good, None)])
    assert isinstance(bad, RuntimeError) and model.batches == [1, 1]
    assert np.array_equal(features, worker.compute(good, None)[0])
    worker.close()
