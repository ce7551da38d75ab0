"""The loop of a GPU with a stand-in for the GPU: results come one batch late."""

import contextlib

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.data.source import ArrayImages
from facemargin.errors import CorruptImageError
from facemargin.features.store import extract_features
from facemargin.models import model as model_module
from facemargin.models.readable import embed_readable
from facemargin.models.transfer import CudaTransfer, Transfer
from tests.models.test_models_readable import SomeCorrupt
from tests.models.tiny_models import tiny_model


class LateTransfer(Transfer):
    """Results that are ready when they are waited for. `events`: what was sent and taken, by the number of images."""

    late = 1

    def __init__(self, device):
        super().__init__(device)
        self.events = []

    def send(self, pixels):
        self.events.append(("sent", len(pixels)))
        return super().send(pixels)

    def bring_back(self, tensors):
        arrays = [np.full(tensor.shape, np.nan, np.float32) for tensor in tensors]

        def wait():
            self.events.append(("taken", len(tensors[0])))
            for array, tensor in zip(arrays, tensors, strict=True):
                array[...] = tensor.numpy()
            return arrays

        return wait


@pytest.fixture
def late(monkeypatch):
    transfer = LateTransfer(torch.device("cpu"))
    monkeypatch.setattr(model_module, "transfer_to", lambda device: transfer)
    monkeypatch.setattr("facemargin.models.read_ahead.most_readers", lambda device: 3)
    return transfer


@pytest.mark.parametrize("quality", ["norm", "crfiqa"])
def test_late_results_are_the_same(quality, monkeypatch, late):
    model, faces, told = tiny_model(quality=quality), fm.open_images("orl:1"), []
    found = model.embed(faces, 4, progress=lambda *at: told.append(at))
    sent = [("sent", 4), ("sent", 4), ("taken", 4), ("sent", 2), ("taken", 4), ("taken", 2)]
    assert late.events == sent  # the next batch is queued before the results of one are waited for
    assert told == [(4, 10), (8, 10), (10, 10)]
    monkeypatch.undo()
    expected = model.embed(faces, 4)
    for name in ("vectors", "norms", "quality"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_late_results_of_the_readable(monkeypatch, late, tmp_path):
    model, images = tiny_model(), SomeCorrupt(9, (0, 3, 4, 5, 8))
    images.threadsafe = True
    found = embed_readable(model, images, 3)
    stored = extract_features(model, images, tmp_path / "late", "key", 3)
    monkeypatch.undo()
    expected = embed_readable(model, images, 3)
    np.testing.assert_array_equal(found.indices_R, expected.indices_R)
    np.testing.assert_array_equal(found.embeddings.vectors, expected.embeddings.vectors)
    assert found.unreadable == expected.unreadable
    at_once = extract_features(model, images, tmp_path / "at_once", "key", 3)
    np.testing.assert_array_equal(stored.features_ND, at_once.features_ND)
    assert stored.unreadable == at_once.unreadable and (stored.readable_N == at_once.readable_N).all()


def test_a_corrupt_image_is_named_by_several_readers(late):
    images = SomeCorrupt(9, (5,))
    images.threadsafe = True
    with pytest.raises(CorruptImageError, match=r"faces/5\.jpg is corrupt"):
        tiny_model().embed(images, 2)


def test_the_weights_are_looked_at_once_a_call(monkeypatch):
    model, looks = tiny_model(), []
    current = model._fast.current
    monkeypatch.setattr(model._fast, "current", lambda: looks.append(1) or current())
    images = ArrayImages(np.zeros((7, 16, 16, 3), np.uint8))
    model.embed(images, 2)
    embed_readable(model, images, 2)
    assert len(looks) == 2


def test_results_of_a_gpu_are_copied_without_waiting(monkeypatch):
    """Every call that a copy needs, in its order, with a stand-in for CUDA."""
    calls = []

    class Event:
        def __init__(self, blocking):
            assert blocking  # waits without taking a core from the readers

        def record(self):
            calls.append("record")

        def synchronize(self):
            calls.append("wait")

    empty, copy = torch.empty, torch.Tensor.copy_

    def without_pinning(*shape, pin_memory, **options):
        assert pin_memory
        return empty(*shape, **options)

    def copying(self, other, non_blocking=False):
        calls.append(f"copy, non_blocking={non_blocking}")
        return copy(self, other)

    monkeypatch.setattr(torch.cuda, "device", lambda device: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch, "empty", without_pinning)
    monkeypatch.setattr(torch.Tensor, "copy_", copying)
    features_BD = torch.arange(6.0).reshape(2, 3)
    wait = CudaTransfer(torch.device("cuda:0")).bring_back([features_BD])
    assert calls == ["copy, non_blocking=True", "record"]
    (found_BD,) = wait()
    assert calls[2:] == ["wait"]
    np.testing.assert_array_equal(found_BD, features_BD.numpy())
