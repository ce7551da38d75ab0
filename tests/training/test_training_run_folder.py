import json

import pytest
import torch

from facemargin.errors import CheckpointError, ConfigError, OutputError
from facemargin.models.info import read_model
from facemargin.training.checkpoint import save_checkpoint
from facemargin.training.run_folder import RunFolder
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state


def started(path, **changes):
    """A run folder with one checkpoint, at step 1."""
    folder = RunFolder(path)
    folder.open(tiny_recipe(**changes), resume=False)
    state = tiny_state(**changes)
    training_step(state, random_batch([0, 1, 2, 0]), 0.1)
    save_checkpoint(folder.checkpoints, state.step, state.state_dict(), keep=2)
    return folder, state


def test_a_new_folder_says_what_will_be_done(tmp_path):
    folder = RunFolder(tmp_path / "runs" / "one")
    assert folder.open(tiny_recipe(), resume=False) is None
    assert "cosface" in folder.recipe.read_text()
    assert json.loads(folder.environment.read_text())["torch"] == torch.__version__


def test_resume_starts_where_there_is_nothing(tmp_path):
    assert RunFolder(tmp_path / "one").open(tiny_recipe(), resume=True) is None


def test_a_folder_with_a_run_needs_resume(tmp_path):
    folder, state = started(tmp_path)
    with pytest.raises(ConfigError, match="already holds a run: add --resume"):
        folder.open(tiny_recipe(), resume=False)
    saved = folder.open(tiny_recipe(), resume=True)
    assert saved["step"] == 1
    fresh = tiny_state()
    fresh.load_state_dict(saved)
    for key, value in state.recognizer.state_dict().items():
        torch.testing.assert_close(fresh.recognizer.state_dict()[key], value, rtol=0, atol=0)


def test_a_run_that_stopped_before_it_had_anything_to_show_is_none(tmp_path):
    folder = RunFolder(tmp_path)
    folder.open(tiny_recipe(batch_size=800), resume=False)  # and the trainer says: larger than the training set
    assert folder.open(tiny_recipe(), resume=False) is None
    assert "batch_size: 8\n" in folder.recipe.read_text()


def test_another_recipe_is_refused_and_the_difference_named(tmp_path):
    folder, _ = started(tmp_path)
    for changes, text in (
        ({"seed": 5}, r"seed \(0 -> 5\)"),
        ({"optimizer": {"momentum": 0.5}}, r"optimizer.momentum \(0.9 -> 0.5\)"),
        ({"head": {"name": "arcface"}}, r"head.name \('cosface' -> 'arcface'\)"),
        ({"head": {"margin": 0.3}}, r"head.margin \(0.2 -> 0.3\)"),
        ({"backbone": {"width": 8}}, r"backbone.width \(4 -> 8\)"),
        ({"quality": {"name": "crfiqa"}}, r"quality.name \('norm' -> 'crfiqa'\)"),
    ):
        with pytest.raises(ConfigError, match=f"started with another recipe.*{text}"):
            folder.open(tiny_recipe(**changes), resume=True)
    assert "seed: 0" in folder.recipe.read_text()


def test_what_does_not_change_the_result_may_change(tmp_path):
    folder, _ = started(tmp_path)
    changes = {"checkpoint": {"every_steps": 3, "keep": 5}, "logging": {"every_steps": 2}, "description": "other"}
    saved = folder.open(tiny_recipe(data={"workers": 0, "cache_decoded": True}, **changes), resume=True)
    assert saved["step"] == 1


def test_what_a_killed_run_left_half_written_is_removed(tmp_path):
    folder, _ = started(tmp_path)
    for place in (folder.path, folder.checkpoints):
        (place / ".step_00000009.pt.1.partial").write_bytes(b"half")
    folder.open(tiny_recipe(), resume=True)
    assert not list(tmp_path.rglob("*.partial"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/run/recipe\.yaml"):
        RunFolder(tmp_path / "file" / "run").open(tiny_recipe(), resume=False)


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_export_writes_the_recogniser_and_the_head(tmp_path, ema_decay):
    folder, state = started(tmp_path, ema_decay=ema_decay)
    with pytest.raises(CheckpointError, match="holds no model yet"):
        folder.require_model()
    folder.export(state)
    weights, info = read_model(folder.require_model())
    assert (info.backbone, info.loss, info.input_size, info.views) == ("small_resnet", "cosface", 16, "flip")
    assert info.options["width"] == 4 and "seed: 0" in info.recipe
    expected = state.average.state if ema_decay else state.recognizer.state_dict()
    for key, value in expected.items():
        torch.testing.assert_close(weights[key], value, rtol=0, atol=0)
    centers, _ = read_model(folder.head)
    torch.testing.assert_close(centers["weight"], state.head.weight.detach(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": {"width": 8}},
        {"head": {"name": "funface"}},
        {"ema_decay": 0.5},
        {"precision": "fp16"},
        {"quality": {"name": "crfiqa"}},
    ],
)
def test_a_checkpoint_of_another_network_is_refused(changes):
    saved = tiny_state().state_dict()
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        tiny_state(**changes).load_state_dict(saved)


def test_the_number_of_people_must_fit():
    saved = tiny_state(num_classes=3).state_dict()
    with pytest.raises(CheckpointError, match="does not fit the recipe"):
        TrainingState(tiny_recipe(), 4, torch.device("cpu")).load_state_dict(saved)


@pytest.mark.parametrize("precision", ["float32", "fp16"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_loaded_state_takes_the_same_steps(tmp_path, precision, optimizer):
    changes = {
        "precision": precision, "optimizer": {"name": optimizer}, "ema_decay": 0.9, "head": {"name": "funface"},
        "backbone": {"dropout": 0.3}, "channels_last": True, "quality": {"name": "crfiqa"},
    }  # fmt: skip
    one = tiny_state(**changes)
    for step in range(3):
        training_step(one, random_batch([0, 1, 2, 0], seed=step), 0.01)
    save_checkpoint(tmp_path, 3, one.state_dict(), keep=1)
    other = tiny_state(**changes)
    other.load_state_dict(torch.load(tmp_path / "step_00000003.pt", weights_only=True))
    for step in range(3, 6):
        batch = random_batch([0, 1, 2, 0], seed=step)
        assert repr(training_step(other, batch, 0.01)) == repr(training_step(one, batch, 0.01))
    for key, value in one.recognizer_state().items():
        assert torch.equal(other.recognizer_state()[key], value), key
