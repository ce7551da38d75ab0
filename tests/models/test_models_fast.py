import numpy as np
import pytest
import torch
from torch import nn

import facemargin as fm
from facemargin.backbones import Backbone
from facemargin.backbones.precision import computes_bf16, convolution_type
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import ConfigError
from facemargin.models.fast import _equal, _equal_at_once
from facemargin.models.info import save_model
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


@pytest.fixture(scope="module")
def faces():
    return EmbeddedFaces([1])


def test_embeddings_follow_the_weights(faces):
    model = tiny_model()
    before = model.embed(faces)
    weight = model.recognizer.backbone.stem[0].weight
    torch.optim.SGD([weight], lr=0.1).zero_grad()
    weight.grad = torch.ones_like(weight)
    torch.optim.SGD([weight], lr=0.1).step()
    stepped = model.embed(faces)
    np.testing.assert_array_equal(stepped.vectors, Model(model.recognizer, model_info()).embed(faces).vectors)
    assert not np.allclose(stepped.vectors, before.vectors, atol=1e-3)
    model.recognizer.load_state_dict(tiny_recognizer().state_dict())
    np.testing.assert_array_equal(model.embed(faces).vectors, before.vectors)
    model.recognizer.backbone.stem[2] = nn.PReLU(4, init=1.0)
    assert not np.allclose(model.embed(faces).vectors, before.vectors, atol=1e-3)


def fused_step(kind):
    def step(recognizer):
        optimizer = kind(recognizer.parameters(), lr=0.05, weight_decay=0.5, fused=True)
        for parameter in recognizer.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()

    return step


@torch.no_grad()
def in_place(recognizer):
    recognizer.backbone.stem[0].weight.mul_(-1)


def through_data(recognizer):
    weight = recognizer.backbone.stem[0].weight
    weight.data.copy_(-weight.data)


def through_numpy(recognizer):
    recognizer.backbone.stem[0].weight.detach().numpy()[...] *= -1


def batch_norm_statistics(recognizer):
    next(m for m in recognizer.modules() if isinstance(m, nn.BatchNorm2d)).running_mean.data.add_(1)


def rows_swapped(recognizer):  # the same numbers in other places
    weight = recognizer.backbone.stem[0].weight
    weight.data = weight.data.flip(0).contiguous()


def another_backbone(recognizer):
    recognizer.backbone = tiny_recognizer(seed=5).backbone


CHANGES = {
    "a fused SGD step": fused_step(torch.optim.SGD),
    "a fused AdamW step": fused_step(torch.optim.AdamW),
    "in place without gradient": in_place,
    "through .data": through_data,
    "through numpy": through_numpy,
    "batch norm statistics": batch_norm_statistics,
    "rows swapped": rows_swapped,
    "another backbone": another_backbone,
    "a loaded state": lambda recognizer: recognizer.load_state_dict(tiny_recognizer(seed=5).state_dict()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_embeddings_follow_every_change_of_the_weights(faces, change):
    model = tiny_model()
    before = model.embed(faces)
    CHANGES[change](model.recognizer)
    after = model.embed(faces)
    expected = Model(model.recognizer, model_info()).embed(faces)
    np.testing.assert_array_equal(after.vectors, expected.vectors)
    assert not np.allclose(after.vectors, before.vectors, atol=1e-3)


def test_embeddings_follow_another_quality_layer(faces):
    model = Model(tiny_recognizer("crfiqa"), model_info(quality="crfiqa"))
    before = model.embed(faces)
    with torch.no_grad():
        model.recognizer.quality.linear.bias += 1
    np.testing.assert_allclose(model.embed(faces).quality, before.quality + 1, rtol=1e-5)
    model.recognizer.quality = tiny_recognizer("crfiqa", seed=5).quality
    assert not np.allclose(model.embed(faces).quality, before.quality + 1)


def test_weights_are_folded_once(faces, monkeypatch):
    model, calls = tiny_model(), []
    folded = facemargin_fast().folded_recognizer
    monkeypatch.setattr(facemargin_fast(), "folded_recognizer", lambda *args: calls.append(1) or folded(*args))
    model.embed(faces)
    model.embed(faces)
    assert calls == [1]


def facemargin_fast():
    import facemargin.models.fast

    return facemargin.models.fast


@pytest.mark.parametrize("quality", ["norm", "crfiqa"])
def test_bf16_is_near_float32(faces, quality):
    recognizer, info = tiny_recognizer(quality), model_info(quality=quality)
    float32, bf16 = (Model(recognizer, info, precision=precision).embed(faces) for precision in ("float32", "bf16"))
    cosines = (float32.vectors * bf16.vectors).sum(axis=1)
    assert cosines.min() > 0.999 and np.abs(bf16.vectors - float32.vectors).max() > 1e-4  # it was bf16
    np.testing.assert_allclose(bf16.norms, float32.norms, rtol=0.02)
    np.testing.assert_allclose(bf16.quality, float32.quality, atol=0.04 * np.abs(float32.quality).max())
    assert all(tensor.dtype != torch.bfloat16 for tensor in recognizer.state_dict().values())


def test_auto_is_what_the_processor_computes(faces):
    cpu = torch.device("cpu")
    kind = torch.bfloat16 if computes_bf16(cpu) else torch.float32
    assert convolution_type("auto", cpu) is kind
    recognizer = tiny_recognizer()
    same = Model(recognizer, model_info(), precision="bf16" if kind is torch.bfloat16 else "float32")
    auto = Model(recognizer, model_info(), precision="auto")
    np.testing.assert_array_equal(auto.embed(faces).vectors, same.embed(faces).vectors)


def test_auto_is_float32_where_bf16_is_emulated(monkeypatch):
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    for capabilities, kind in (({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found)
        assert convolution_type("auto", torch.device("cpu")) is kind


def test_load_takes_a_precision(faces, tmp_path):
    save_model(tmp_path / "model.safetensors", tiny_recognizer().state_dict(), model_info())
    expected = tiny_model().embed(faces)
    found = fm.load(tmp_path, precision="bf16").embed(faces)
    assert 1e-4 < np.abs(found.vectors - expected.vectors).max() < 0.05
    with pytest.raises(ConfigError, match=r"unknown precision 'bf61'; did you mean 'bf16'\?"):
        fm.load(tmp_path, precision="bf61")


class Weightless(Backbone):
    """As a network of another library: no parameters, and no feature map."""

    def __init__(self):
        super().__init__(embedding_size=8, input_size=16)

    def forward(self, images_BCHW):
        return images_BCHW.flatten(1)[:, :8]

    def feature_map(self, images_BCHW):
        raise AssertionError

    embed = feature_map


def test_a_backbone_without_weights_is_called_as_it_is(faces):
    embeddings = Model(Recognizer(Weightless()), model_info(), precision="auto").embed(faces, views="one")
    assert embeddings.vectors.shape == (10, 8) and np.isfinite(embeddings.vectors).all()


@pytest.mark.parametrize("position", range(4))
def test_comparing_at_once_is_comparing_each(position):
    def tensors():
        return [torch.ones(2, 3), torch.zeros(0), torch.arange(5), torch.full((4,), 1e-40, dtype=torch.float64)]

    assert _equal(tensors(), tensors()) and _equal_at_once(tensors(), tensors())
    changed = tensors()
    if changed[position].numel():
        changed[position].view(-1)[-1] += changed[position].view(-1)[-1] or 1
        assert not _equal(tensors(), changed) and not _equal_at_once(tensors(), changed)
    nans = [torch.full((2,), torch.nan)]
    assert not _equal_at_once(nans, nans)  # as torch.equal
    assert not _equal(tensors(), [*tensors()[:3], torch.ones(4)])
    assert not _equal(tensors(), tensors()[:3])
