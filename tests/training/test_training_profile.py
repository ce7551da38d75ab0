"""`facemargin train --profile`: real steps, taken apart."""

import time
from types import SimpleNamespace

import pytest
from torchrun import run_many
from training_objects import tiny_recipe

from facemargin import timing
from facemargin.cli import main
from facemargin.errors import ConfigError
from facemargin.training import profile as profiling
from facemargin.training.profile import PARTS, profile_training

SMALL = {"data": {"train": "orl:1-3", "workers": 0}}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_time(monkeypatch):
    """Seconds of this process in place of the clock's, which other programs on the machine share in."""
    clock = SimpleNamespace(perf_counter=time.process_time)
    for module in (timing, profiling):
        monkeypatch.setattr(module, "time", clock)


def test_parts_add_up_to_about_the_whole_step(tmp_path, own_time):
    profile = profile_training(tiny_recipe(**SMALL), steps=20)
    assert set(profile.seconds) == set(PARTS)
    assert all(profile.seconds[part] > 0 for part in PARTS if part != "communication")
    assert profile.seconds["communication"] == 0
    assert profile.images == 8
    assert profile.images_per_second == pytest.approx(8 / profile.seconds_per_step)
    # The two are of different steps.
    assert 0.3 < sum(profile.seconds.values()) / profile.seconds_per_step < 3
    assert not list(tmp_path.iterdir())  # nothing is written


def test_time_goes_where_the_work_is(own_time):
    wide = {"name": "small_resnet", "input_size": 32, "width": 32, "embedding_size": 8}
    narrow = {"name": "small_resnet", "input_size": 16, "width": 4, "embedding_size": 256}
    backbone = profile_training(tiny_recipe(**SMALL, backbone=wide), steps=5)
    assert backbone.seconds["backbone"] > 3 * backbone.seconds["head"]
    head = profile_training(tiny_recipe(**SMALL, backbone=narrow), steps=5)
    assert head.seconds["head"] / head.seconds["backbone"] > 3 * backbone.seconds["head"] / backbone.seconds["backbone"]


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
