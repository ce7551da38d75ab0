from types import SimpleNamespace

import pytest
import torch

import facemargin as fm
from facemargin.backbones.precision import precision_on
from facemargin.errors import ConfigError
from facemargin.features.store import features_key
from facemargin.interop.onnx_backbone import OnnxBackbone
from facemargin.models.device import device_called, device_text
from facemargin.models.info import save_model
from facemargin.models.model import Model
from facemargin.models.recognizer import Recognizer
from tests.models.tiny_models import model_info, tiny_model, tiny_recognizer


@pytest.fixture
def two_gpus(monkeypatch):
    """A machine that seems to have two GPUs with bf16; tensors cannot be moved there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA Anything")
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)


@pytest.fixture
def staying(monkeypatch):
    """The devices to which a network would have been moved."""
    moves = []
    monkeypatch.setattr(Recognizer, "to", lambda self, device: moves.append(str(device)) or self)
    return moves


def test_auto_is_the_gpu_where_there_is_one(two_gpus):
    assert device_called("auto") == torch.device("cuda")
    assert device_called("cuda:1") == torch.device("cuda:1")
    assert device_text(device_called("cuda:1")) == "cuda:1 (NVIDIA Anything)"


def test_auto_is_the_cpu_where_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_called("auto") == torch.device("cpu")
    assert device_text(device_called("auto")) == "cpu"


def test_a_device_that_is_not_here_is_refused(two_gpus):
    with pytest.raises(ConfigError, match=r"device is 'cuda:2', but this machine has 2 CUDA devices.*cpu always works"):
        device_called("cuda:2")
    with pytest.raises(ConfigError, match=r"device is 'gpu', expected auto, cpu or cuda \(cuda:1 for the second GPU\)"):
        device_called("gpu")


def test_the_precision_by_device(two_gpus, monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [precision_on(cuda, one) for one in (None, "auto", "bf16", "float32")] == ["bf16", "bf16", "bf16", "float32"]
    assert [precision_on(cpu, one) for one in (None, "bf16", "float32")] == ["float32", "bf16", "float32"]
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    assert precision_on(cuda, None) == "float32"
    with pytest.raises(ConfigError, match="unknown precision 'bf61'"):
        precision_on(cpu, "bf61")


def test_load_takes_the_gpu(two_gpus, staying, tmp_path):
    save_model(tmp_path / "model.safetensors", tiny_recognizer().state_dict(), model_info())
    model = fm.load(tmp_path)
    assert (str(model.device), model.precision, staying) == ("cuda", "bf16", ["cuda"])
    assert model.where() == "cuda (NVIDIA Anything), bf16"
    assert fm.load(tmp_path, precision="float32").precision == "float32"
    assert fm.load(tmp_path, "cpu").where() == "cpu, float32"


def test_what_was_asked_for_holds_on_every_device(two_gpus, staying):
    model = Model(tiny_recognizer(), model_info())
    assert model.where() == "cpu, float32"
    assert model.to("cuda:1").where() == "cuda:1 (NVIDIA Anything), bf16"
    assert model.to("cpu").where() == "cpu, float32"
    assert Model(tiny_recognizer(), model_info(), precision="float32").to("cuda").precision == "float32"


def test_an_onnx_model_stays_on_the_cpu(two_gpus, caplog):
    model = Model(
        Recognizer(OnnxBackbone(None, SimpleNamespace(embedding_size=8, size=16))), model_info(), "cuda:1", "bf16"
    )
    assert model.where() == "cpu, float32"
    assert caplog.messages == ["an ONNX model is computed by onnxruntime on the CPU, not on cuda:1"]


def test_a_wrapped_network_keeps_its_numbers(two_gpus, staying):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 8))
    assert fm.wrap(network, input_size=16).to("cuda").precision == "float32"


def test_features_of_another_precision_are_not_those():
    faces = fm.open_images("orl:1")
    recognizer = tiny_recognizer()
    keys = {
        one: features_key(Model(recognizer, model_info(), precision=one), faces) for one in (None, "bf16", "float32")
    }
    assert keys[None] == keys["float32"] != keys["bf16"]
    assert features_key(tiny_model(), faces) == keys["float32"]
