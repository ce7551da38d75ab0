"""Training on several real processes, as torchrun starts them: the same run whatever their number, killed and resumed.

Those that are killed or interrupted are torchrun's own; the others find what it would have told them."""

import os
import shutil
import signal
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from tests.systems import linux_only
from tests.training.run_process import RECIPE, rows, write_faces, write_recipe
from tests.training.torchrun import PLAIN, launch, run_many, workers_of

PLAIN_RECIPE = {
    "backbone": {"name": "plain_network", "input_size": 16, "embedding_size": 16},
    "head": {"name": "funface", "scale": 16.0, "t_alpha": 0.1, "sub_centers": 2},  # rows of (2, 16)
    "quality": {"name": "crfiqa"},
    "augmentation": {"flip": 0.5, "noise": 0.5},
    "validation": {"data": [], "every_epochs": 0, "views": "flip"},
    "optimizer": {"name": "sgd", "learning_rate": 0.01},
    "schedule": {"name": "cosine", "warmup_epochs": 1},
    "precision": "float64",
    "channels_last": False,
    "batch_size": 18,
    "accumulation_steps": 2,  # passes of 9 divide evenly among 1 and 3 processes only
    "gradient_clip": 1.0,
    "ema_decay": 0.9,
    "epochs": 5,
    "checkpoint": {"every_steps": 5, "keep": 100},
}
LOGGED = ("loss", "quality", "gradient_norm", "target_cosine", "certainty_ratio", "feature_norm", "margin_scaler")


def plain_recipe(folder):
    """A recipe over a network without batch norms, and faces of 7 people, one of whose pictures is damaged."""
    write_faces(folder / "faces", people=7, images=6)
    (folder / "faces" / "person_3" / "1.jpg").write_bytes(b"not a picture")
    path = folder / "recipe.yaml"
    path.write_text(
        yaml.safe_dump({**RECIPE, **PLAIN_RECIPE, "data": {**RECIPE["data"], "train": str(folder / "faces")}})
    )
    return path


def assert_same_run(one, other):
    """Losses and the other logged numbers of every step, the saved model and head, to 1e-9."""
    ours, theirs = (rows(folder / "metrics.csv") for folder in (one, other))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs] and ours
    for a, b in zip(ours, theirs, strict=True):
        for name in LOGGED:
            assert float(a[name]) == pytest.approx(float(b[name]), rel=1e-9, abs=1e-9), (name, a["step"])
    for name in ("model.safetensors", "head.safetensors"):
        ours, theirs = load_file(one / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            assert ours[key].dtype == value.dtype
            torch.testing.assert_close(ours[key], value, rtol=1e-9, atol=1e-9, msg=lambda m, key=key: f"{key}: {m}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The recipe, and the folder of its run on one process."""
    folder = tmp_path_factory.mktemp("plain")
    recipe = plain_recipe(folder)
    code, text = run_many(1, "train", recipe, "--output", folder / "one", script=(PLAIN,))
    assert code == 0, text
    centers = load_file(folder / "one" / "head.safetensors")["weight"]
    assert centers.dtype == torch.float64 and centers.shape == (7, 2, 16)
    return recipe, folder / "one"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3, 4])
def test_any_number_of_processes_ends_in_the_same_weights(whole, tmp_path, processes):
    recipe, one = whole
    code, text = run_many(processes, "train", recipe, "--output", tmp_path / "run", script=(PLAIN,))
    assert code == 0, text
    assert_same_run(tmp_path / "run", one)
    assert text.count("corrupt image left out") == 1 and "corrupt images, which were left out: 1;" in text
    assert text.count("trained ") == 1
    files = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step_00000005.*"))
    assert len(files) == 1 + processes  # even of 4 processes each has some of the 7 classes


@pytest.mark.slow
def test_a_checkpoint_of_four_processes_resumes_on_any_number(whole, tmp_path):
    recipe, one = whole
    code, text = run_many(4, "train", recipe, "--output", tmp_path / "four", script=(PLAIN,))
    assert code == 0, text
    for processes in (2, 3, 1):
        folder = tmp_path / f"on{processes}"
        shutil.copytree(tmp_path / "four", folder)
        for step, path in checkpoint_steps(folder / "checkpoints").items():
            if step > 5:
                path.unlink()
        code, text = run_many(processes, "train", recipe, "--output", folder, "--resume", script=(PLAIN,))
        assert code == 0 and "after step 5" in text, text
        assert_same_run(folder, one)


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_one_process_is_killed_and_the_run_ends_as_if_nothing_had_happened(tmp_path):
    recipe = write_recipe(tmp_path, batch_size=16, epochs=20, head={"sample_rate": 0.75, "unsampled_rows": "exact"})
    code, text = run_many(2, "train", recipe, "--output", tmp_path / "whole")
    assert code == 0, text
    folder = tmp_path / "killed"
    process = launch(2, "train", recipe, "--output", folder, restarts=2)
    deadline = time.monotonic() + 900
    while not ((folder / "metrics.csv").exists() and (folder / "metrics.csv").read_text().count("\n") > 10):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    text, _ = process.communicate(timeout=900)
    assert process.returncode == 0, text
    assert "continuing" in text
    same = ("step", "loss", "gradient_norm", "certainty_ratio", "quality")
    ours, theirs = (
        [{key: row[key] for key in same} for row in rows(f / "metrics.csv")] for f in (folder, tmp_path / "whole")
    )
    assert ours == theirs
    assert (folder / "validation.csv").read_text() == (tmp_path / "whole" / "validation.csv").read_text()
    for name in ("model.safetensors", "head.safetensors"):
        ours, theirs = load_file(folder / name), load_file(tmp_path / "whole" / name)
        assert all(torch.equal(ours[key], value) for key, value in theirs.items())


@linux_only
@pytest.mark.slow
@pytest.mark.long
def test_interrupting_torchrun_checkpoints_and_leaves(tmp_path):
    recipe = write_recipe(tmp_path, batch_size=16, epochs=400)
    folder = tmp_path / "run"
    process = launch(2, "train", recipe, "--output", folder)
    while not (folder / "metrics.csv").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=900)
    assert process.returncode != 0
    step = len(rows(folder / "metrics.csv"))
    assert max(checkpoint_steps(folder / "checkpoints")) == step, text
    assert "--resume continues" in text
    # what several processes left is read whole by one
    saved = latest_checkpoint(folder / "checkpoints")[1]
    assert saved["rows"]["weight"].shape == (4, 16) and saved["rows"]["optimizer.momentum_buffer"].shape == (4, 16)


@pytest.mark.slow
def test_mistakes_are_said_once_and_end_every_process(tmp_path):
    write_faces(tmp_path / "faces", people=2, images=6)
    recipe = write_recipe(tmp_path, data={"train": str(tmp_path / "faces")}, batch_size=6)
    code, text = run_many(4, "train", recipe, "--output", tmp_path / "run")
    assert code != 0 and "leaves 1 image a pass for each of 4 processes: expected at least 2" in text
    different = tmp_path / "different.py"
    different.write_text(
        "import os, sys\nfrom facemargin.cli import main\n"
        "sys.exit(main([*sys.argv[1:], '--seed', '5'] if os.environ['RANK'] == '1' else None))\n"
    )
    code, text = run_many(2, "train", recipe, "--output", tmp_path / "run", script=(str(different),))
    assert code != 0 and "do not agree: seed is '3' in process 0 and '5' in process 1" in text
    code, text = run_many(2, "train", recipe, "--output", tmp_path / "run", "--epochs", "1")
    assert code == 0, text
    code, text = run_many(2, "train", recipe, "--output", tmp_path / "run", "--epochs", "1")
    assert code != 0 and "add --resume to continue it" in text


@pytest.mark.slow
def test_a_damaged_shard_costs_only_the_steps_since_the_checkpoint_before(tmp_path):
    recipe = write_recipe(tmp_path, batch_size=16, epochs=6, checkpoint={"every_steps": 4, "keep": 3})
    folder = tmp_path / "run"
    code, text = run_many(2, "train", recipe, "--output", folder)
    assert code == 0, text
    expected = load_file(folder / "head.safetensors")
    last = max(checkpoint_steps(folder / "checkpoints"))
    shard = sorted((folder / "checkpoints").glob(f"step_{last:08d}.rows_*.pt"))[-1]
    shard.write_bytes(shard.read_bytes()[:500])
    code, text = run_many(2, "train", recipe, "--output", folder, "--resume")
    assert code == 0, text
    assert shard.name in text and f"after step {last - 4}" in text
    found = load_file(folder / "head.safetensors")
    assert all(torch.equal(found[key], value) for key, value in expected.items())
