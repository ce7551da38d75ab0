"""A head's memory in a training: a resumed run goes on bit for bit, and what it cannot be combined with is refused."""

import pytest
import torch
from safetensors.torch import load_file

from facemargin.errors import ConfigError
from facemargin.interop import load_head
from facemargin.training.checkpoint import latest_checkpoint, load_checkpoint, save_checkpoint
from facemargin.training.head_file import write_head
from facemargin.training.processes import Processes
from facemargin.training.recipe import model_info
from facemargin.training.step import training_step
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights

MEMORIES = {
    "broadface": {"name": "broadface", "queue_size": 12},
    "vpl": {"name": "vpl", "start": 1, "lasts": 3},
}
LABELS = [[0, 1, 2, 1, 0, 2, 2, 1], [0, 0, 1, 1, 0, 1, 0, 1], [2, -1, 1, 1, 0, 1, 0, 1]]


def train(state, steps):
    for step in steps:
        training_step(state, random_batch(LABELS[step % 3], seed=step), 0.1)
    return state


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_resumed_training_goes_on_bit_for_bit(memory, tmp_path):
    settings = {"memory": MEMORIES[memory], "accumulation_steps": 2}
    whole = train(tiny_state(**settings), range(5))
    half = train(tiny_state(**settings), range(3))
    saved = load_checkpoint(save_checkpoint(tmp_path, 3, half.state_dict(), keep=1))
    resumed = tiny_state(**settings)
    resumed.load_state_dict(saved)
    resumed = train(resumed, range(3, 5))
    expected = weights(whole)
    assert {name for name in expected if name.startswith("head.memory.")}
    for name, value in weights(resumed).items():
        assert torch.equal(value, expected[name]), name
    for state in (saved["head"], saved["rows"]):  # else the memory would do nothing here
        for name in state:
            state[name] = torch.zeros_like(state[name]) if name.startswith("memory.") else state[name]
    forgetful = tiny_state(**settings)
    forgetful.load_state_dict(saved)
    assert not torch.equal(train(forgetful, range(3, 5)).head.weight, whole.head.weight)


def test_a_process_of_more_reads_the_rows_of_its_classes(tmp_path):
    state = train(tiny_state(memory=MEMORIES["vpl"]), range(2))
    save_checkpoint(tmp_path, 2, state.state_dict(), keep=1)
    _, saved = latest_checkpoint(tmp_path, class_range_of=lambda num_classes: (1, num_classes))
    for name in ("features", "seen"):
        assert torch.equal(saved["rows"][f"memory.{name}"], state.head.memory.get_buffer(name)[1:])
    assert saved["head"].keys() == {"memory.passes"}


@pytest.mark.parametrize("memory", MEMORIES)
def test_the_heads_file_is_without_it_and_starts_a_training(memory, tmp_path):
    state = train(tiny_state(memory=MEMORIES[memory]), range(2))
    write_head(tmp_path / "head.safetensors", state.head, model_info(state.recipe), Processes(torch.device("cpu")))
    assert list(load_file(tmp_path / "head.safetensors")) == ["weight"]
    fresh = tiny_state(memory=MEMORIES[memory], seed=1)
    load_head(tmp_path / "head.safetensors", fresh.head)
    assert torch.equal(fresh.head.weight, state.head.weight)


def test_what_a_memory_cannot_be_combined_with_is_refused():
    vpl = {"name": "vpl"}
    with pytest.raises(ConfigError, match=r"memory\.name is vpl with head\.sample_rate 0\.5: the classes in a memory"):
        tiny_recipe(memory=vpl, head={"sample_rate": 0.5})
    with pytest.raises(ConfigError, match=r"memory\.name is vpl with head\.sub_centers 2: a memory is made for"):
        tiny_recipe(memory=vpl, head={"sub_centers": 2})
    with pytest.raises(ConfigError, match=r"memory\.name is vpl with reconstruction\.mode joint"):
        tiny_recipe(memory=vpl, reconstruction={"mode": "joint"})
    with pytest.raises(ConfigError, match="queue_size is 0, expected a whole number"):
        tiny_recipe(memory={"name": "broadface", "queue_size": 0})
    with pytest.raises(ConfigError, match=r"share is 2\.0, expected a number between 0 and 1"):
        tiny_recipe(memory={"name": "vpl", "share": 2.0})
