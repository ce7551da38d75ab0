"""Images are computed a few at a time by single threads: the same vectors as all at once."""

import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from facemargin.backbones import create_backbone
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.models.fast import folded_recognizer
from facemargin.models.input import network_input, read_pixels
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer
from facemargin.models.slices import in_slices, slice_size
from tests.models.test_models_folding import Branching, trained
from tests.models.tiny_models import model_info, tiny_model


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def faces():
    return EmbeddedFaces([1])


@functools.cache
def embedded(name):
    """A model with statistics of faces, and its vectors in float64, all at once."""
    torch.manual_seed(0)
    info = model_info(backbone=name, options={}, embedding_size=32, input_size=32)
    images_BCHW = network_input(read_pixels(EmbeddedFaces([1]), 32, range(10)), info)
    backbone = trained(create_backbone(name, 32, input_size=32), images_BCHW).eval()
    with torch.no_grad():
        features_BD = backbone.double()(images_BCHW.double())
    return Model(Recognizer(backbone.float()), info), nn.functional.normalize(features_BD).numpy()


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilefacenet", "small_resnet"])
def test_vectors_are_those_of_all_at_once(name, faces, threads, monkeypatch):
    monkeypatch.setattr("facemargin.models.model.slice_size", lambda *_: 2)
    model, expected_BD = embedded(name)
    together = model.embed(faces, views="one")
    assert (together.vectors * expected_BD).sum(1).min() > 1 - 1e-6
    for count in (1, 7)[threads - 1 :]:
        one = model.embed(faces, count, views="one")
        np.testing.assert_allclose(one.vectors, together.vectors, atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 64])
def test_slices_are_even_and_in_order(count, threads):
    given, sizes = torch.arange(count * 12).reshape(count, 3, 2, 2), []

    def run(images_BCHW):
        sizes.append(len(images_BCHW))
        return [images_BCHW.flatten(1), images_BCHW.sum((1, 2, 3))]

    flat_BD, sum_B = in_slices(run, given, 4)
    assert torch.equal(flat_BD, given.flatten(1)) and torch.equal(sum_B, given.sum((1, 2, 3)))
    if count < threads:
        assert sizes == [count]
    else:
        assert (max(sizes) <= 4 and max(sizes) - min(sizes) <= 1 and len(sizes) % threads == 0) or len(sizes) == count


def test_a_slice_is_four_faces_of_112_pixels():
    assert [slice_size(size, torch.float32) for size in (112, 64, 224, 1000)] == [4, 12, 1, 1]
    assert slice_size(112, torch.bfloat16) == 8


def test_each_slice_has_one_thread_and_others_keep_theirs():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = in_slices(lambda images: [torch.full((len(images),), torch.get_num_threads())], torch.zeros(9, 1), 1)
        assert found[0].tolist() == [1] * 9
        with ThreadPoolExecutor(1) as new:
            assert torch.get_num_threads() == new.submit(torch.get_num_threads).result(60) == 2
    finally:
        torch.set_num_threads(before)


def test_an_error_of_a_slice_is_raised(threads):
    def run(images_B):
        if 5 in images_B:
            raise RuntimeError("five")
        return [images_B]

    with pytest.raises(RuntimeError, match="five"):
        in_slices(run, torch.arange(9), 2)
    assert in_slices(run, torch.arange(5), 2)[0].tolist() == [0, 1, 2, 3, 4]


def test_several_callers_at_once_get_what_one_gets(faces, threads):
    model = tiny_model()
    alone = model.embed(faces)
    with ThreadPoolExecutor(4) as callers:
        for found in callers.map(lambda _: model.embed(faces), range(12)):
            np.testing.assert_array_equal(found.vectors, alone.vectors)


def test_code_of_others_is_run_by_one_thread_on_the_whole_batch(faces, threads):
    class Watched(Branching):
        def feature_map(self, images_BCHW):
            calls.append((threading.get_ident(), len(images_BCHW)))
            return super().feature_map(images_BCHW)

    calls = []
    model = Model(Recognizer(Watched()), model_info(embedding_size=3))
    model._fast.current()
    calls.clear()
    model.embed(faces, 10, views="one")
    assert calls == [(threading.get_ident(), 10)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_process_makes_threads_of_its_own():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        in_slices(lambda part: [part + 1], torch.arange(4), 1)
        if not (child := os.fork()):
            found = in_slices(lambda part: [part + 1], torch.arange(4), 1)
            os._exit(0 if found[0].tolist() == [1, 2, 3, 4] else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        torch.set_num_threads(before)


def test_pointwise_convolutions_are_marked_for_onednn_but_not_in_what_is_exported():
    """torch gives what is dilated to oneDNN."""
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this build of torch has no oneDNN")
    model, _ = embedded("mobilefacenet")
    pointwise, exported = (
        {layer.dilation for layer in network.modules() if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)}
        for network in (model._fast.current(), folded_recognizer(model.recognizer))
    )
    assert pointwise == {(2, 2)} and exported == {(1, 1)}


def test_an_unchanging_model_keeps_the_weights_it_had(faces):
    model = tiny_model()
    before, kept = model.embed(faces), model.unchanging()
    with torch.no_grad():
        model.backbone.stem[0].weight.mul_(-1)
    np.testing.assert_array_equal(kept.embed(faces).vectors, before.vectors)
    assert not np.allclose(model.embed(faces).vectors, before.vectors, atol=1e-3)
