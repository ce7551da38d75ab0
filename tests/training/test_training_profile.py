"""`facemargin train --profile`: real steps, taken apart."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from facemargin import timing
from facemargin.backbones import create_backbone
from facemargin.cli import main
from facemargin.errors import ConfigError
from facemargin.training import profile as profiling
from facemargin.training.profile import PARTS, profile_training
from tests.training.torchrun import run_many
from tests.training.training_objects import tiny_recipe

SMALL = {"data": {"train": "orl:1-3", "workers": 0}}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class CountedOperations(TorchDispatchMode):
    """Counts PyTorch's operations, those of backward passes too."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, arguments=(), options=None):
        self.count += 1
        return operation(*arguments, **(options or {}))


@contextmanager
def clock_of(monkeypatch, read):
    """Within, what `read` returns stands for the clock's seconds, which other programs on the machine share in."""
    with monkeypatch.context() as patch:
        for module in (timing, profiling):
            patch.setattr(module, "time", SimpleNamespace(perf_counter=read))
        yield


def test_parts_add_up_to_the_whole_step(tmp_path, monkeypatch):
    with CountedOperations() as operations, clock_of(monkeypatch, lambda: operations.count):
        profile = profile_training(tiny_recipe(**SMALL), steps=3)
    assert set(profile.seconds) == set(PARTS)
    assert all(profile.seconds[part] > 0 for part in PARTS if part not in ("communication", "other"))
    assert profile.seconds["communication"] == 0
    assert profile.images == 8
    assert profile.images_per_second == pytest.approx(8 / profile.seconds_per_step)
    # The two are of different steps, each of which does the same.
    assert sum(profile.seconds.values()) == pytest.approx(profile.seconds_per_step, rel=0.05)
    assert not list(tmp_path.iterdir())  # nothing is written


@pytest.mark.parametrize(("width", "embedding_size"), [(32, 8), (4, 256)])
def test_time_goes_where_the_work_is(monkeypatch, width, embedding_size):
    backbone = {"name": "small_resnet", "input_size": 16, "width": width, "embedding_size": embedding_size}
    recipe = tiny_recipe(**SMALL, backbone=backbone)
    with FlopCounterMode(display=False) as work, clock_of(monkeypatch, work.get_total_flops):
        profile = profile_training(recipe, steps=2)
    # The product of 8 features and 3 centres, and those of both its gradients.
    assert profile.seconds["head"] == 3 * 2 * 8 * 3 * embedding_size
    network = create_backbone(**backbone)
    with FlopCounterMode(display=False) as expected:
        network(torch.zeros(8, 3, 16, 16)).sum().backward()
    assert profile.seconds["backbone"] == expected.get_total_flops()
    assert sum(profile.seconds.values()) == profile.seconds["head"] + profile.seconds["backbone"]


def test_needs_a_step():
    with pytest.raises(ConfigError, match="a profile of 0 steps: expected at least 1"):
        profile_training(tiny_recipe(), steps=0)


def test_command_prints_the_parts_and_the_rate(capsys):
    arguments = ["train", "demo", "--data.train", "orl:1-3", "--backbone.width", "4", "--batch-size", "8"]
    assert main([*arguments, "--profile", "--profile-steps", "2"]) == 0
    text = capsys.readouterr().out
    assert all(part in text for part in PARTS)
    assert "images/s of all processes" in text


@pytest.mark.slow
def test_two_processes_see_communication_and_print_once(tmp_path):
    arguments = ["train", "demo", "--data.train", "orl:1-3", "--backbone.width", "4", "--batch-size", "8"]
    code, text = run_many(2, *arguments, "--profile", "--profile-steps", "2", "--device", "cpu")
    assert code == 0, text
    assert text.count("images/s of all processes") == 1
    line = next(line for line in text.splitlines() if "communication" in line)
    assert float(line.split("│")[2].replace(",", "")) > 0, line
    assert not list(tmp_path.iterdir())
