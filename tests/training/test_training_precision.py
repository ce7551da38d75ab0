import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.training.precision import autocast_type

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("precision", "expected"), [("float64", None), ("float32", None), ("bf16", torch.bfloat16), ("fp16", torch.half)]
)
def test_named_precisions_are_taken_at_their_word(precision, expected):
    assert autocast_type(precision, CPU) is expected
    assert autocast_type(precision, CUDA) is expected


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, None),
        ({}, None),
    ],
)
def test_auto_is_bf16_where_the_processor_computes_in_it(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
    assert autocast_type("auto", CPU) is expected


def test_auto_is_float32_where_onednn_may_not_use_the_instructions(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert autocast_type("auto", CPU) is None


@pytest.mark.parametrize("supported", [True, False])
def test_auto_asks_the_gpu_without_its_emulation(monkeypatch, supported):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or supported)
    assert autocast_type("auto", CUDA) is (torch.bfloat16 if supported else None)


def test_the_capabilities_asked_for_exist():
    assert "avx2" not in torch.cpu.get_capabilities() or "avx512_bf16" in torch.cpu.get_capabilities()


def test_another_precision_is_refused():
    with pytest.raises(ConfigError, match="precision is 'half', expected auto, float64, float32, bf16 or fp16"):
        autocast_type("half", CPU)
