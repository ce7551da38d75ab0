"""How a device is set up to train. The settings of CUDA can be made, and looked at, without one."""

import os

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.training.device import device_settings, fix_workspace, repeatability

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def settings():
    cudnn, fill = torch.backends.cudnn, torch.utils.deterministic.fill_uninitialized_memory
    deterministic = torch.are_deterministic_algorithms_enabled()
    return torch.get_float32_matmul_precision(), cudnn.benchmark, cudnn.deterministic, deterministic, fill


def test_a_gpu_takes_the_fastest_algorithms_or_those_that_are_the_same_again():
    before = settings()
    with device_settings(CUDA, deterministic=False):
        assert settings() == ("high", True, False, False, True)
    with pytest.raises(KeyError), device_settings(CUDA, deterministic=True):
        assert settings() == ("high", False, True, True, False)
        raise KeyError
    assert settings() == before


@pytest.mark.parametrize("deterministic", [False, True])
def test_on_the_cpu_nothing_changes(deterministic):
    before = settings()
    with device_settings(CPU, deterministic):
        assert settings() == before


def test_an_operation_that_cannot_be_deterministic_is_a_clear_error():
    words = "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set 'torch.use_…"
    message = "on a GPU grid_sampler_2d_backward_cuda, which this recipe needs, cannot be: set deterministic to false"
    with pytest.raises(ConfigError, match=message), device_settings(CUDA, deterministic=True):
        raise RuntimeError(words)
    with pytest.raises(RuntimeError, match="another"), device_settings(CUDA, deterministic=True):
        raise RuntimeError("another")


def test_the_workspace_is_fixed_before_cuda_starts(monkeypatch):
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")  # so that it is put back
    monkeypatch.delenv(name)
    fix_workspace()
    assert os.environ[name] == ":4096:8"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    fix_workspace()  # it is set: nothing to do
    monkeypatch.delenv(name)
    with pytest.raises(ConfigError, match=f"{name} is not set and CUDA has started: set it to :4096:8 before"):
        fix_workspace()
    monkeypatch.setenv(name, ":0:0")
    with pytest.raises(ConfigError, match=f"{name} is :0:0: set it to :4096:8 before the program starts"):
        fix_workspace()


def test_a_record_says_whether_a_run_is_the_same_again(monkeypatch):
    assert repeatability(CPU, False) == {"device": "cpu", "if run again": "the same to the last bit"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a card")
    assert repeatability(CUDA, True) == {"device": "a card", "if run again": "the same to the last bit"}
    said = repeatability(CUDA, False)["if run again"]
    assert "not the same" in said and "deterministic: true" in said
