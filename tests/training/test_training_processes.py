"""Training as a user runs it: real processes, real files, killed and resumed."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

import facemargin as fm
from facemargin.training.checkpoint import checkpoint_steps, latest_checkpoint
from tests.systems import posix_only
from tests.training.run_process import RECIPE, rows, run, start, stop_at_step, write_faces, write_recipe

STEPS = RECIPE["epochs"] * 5
SAME = ("step", "epoch", "loss", "learning_rate", "gradient_norm", "certainty_ratio", "margin_scaler")


def same_rows(one, other, columns=SAME):
    return [{c: row[c] for c in columns} for row in rows(one)] == [{c: row[c] for c in columns} for row in rows(other)]


def final_state(folder):
    path, state = latest_checkpoint(folder / "checkpoints")
    assert path.name == f"step_{STEPS:08d}.pt"
    return state


def assert_same(one, other):
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_run_killed_at_any_moment_resumes_bit_for_bit(tmp_path, precision):
    recipe = write_recipe(tmp_path, precision=precision)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    code, out, err = run("train", recipe, "--output", whole)
    assert code == 0, err
    assert f"trained {STEPS} steps" in out
    for step in (3, 20, 41):  # before the first checkpoint, between checkpoints, in another epoch
        process = start("train", recipe, "--output", killed, "--resume")
        stop_at_step(process, killed / "metrics.csv", step)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert not (killed / "model.safetensors").exists()
    code, out, err = run("train", recipe, "--output", killed, "--resume")
    assert code == 0, err
    assert "continuing" in out
    assert same_rows(whole / "metrics.csv", killed / "metrics.csv")
    assert len(rows(whole / "metrics.csv")) == STEPS
    assert (whole / "validation.csv").read_text() == (killed / "validation.csv").read_text()
    assert_same(final_state(whole), final_state(killed))
    assert_same(load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors"))


@posix_only
@pytest.mark.slow
def test_interrupting_checkpoints_and_leaves(tmp_path):
    recipe = write_recipe(tmp_path, epochs=400)
    folder = tmp_path / "run"
    process = start("train", recipe, "--output", folder)
    stop_at_step(process, folder / "metrics.csv", 9, signal.SIGINT)
    out, err = process.communicate(timeout=900)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume continues" in out
    step = len(rows(folder / "metrics.csv"))
    assert max(checkpoint_steps(folder / "checkpoints")) == step
    assert f"stopped after step {step} of 2000" in out
    code, _, err = run("train", recipe, "--output", folder)
    assert code == 2 and "add --resume" in err
    code, _, err = run("train", recipe, "--output", folder, "--resume", "--optimizer.momentum", "0.8")
    assert code == 2 and "optimizer.momentum (0.9 -> 0.8)" in err


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    recipe = write_recipe(tmp_path, epochs=40)
    folder = tmp_path / "run"
    # The steps before the explosion are good ones: warm-up reaches the absurd rate after the first checkpoint.
    changes = ["--optimizer.learning-rate", "1e25", "--schedule.name", "step", "--schedule.warmup-epochs", "0"]
    changes += ["--schedule.milestones", "0", "2", "--schedule.gamma", "1e-13", "--checkpoint.every-steps", "1"]
    code, _, err = run("train", recipe, "--output", folder, *changes)
    assert code == 2
    assert "The recipe field to look at first is optimizer.learning_rate (now 1e+25)" in err
    assert "Traceback" not in err
    _, state = latest_checkpoint(folder / "checkpoints")
    assert f"The last good checkpoint is of step {state['step']}" in err
    assert f"step {state['step'] + 1}: " in err
    assert all(value.isfinite().all() for value in state["head"].values())


@pytest.mark.slow
def test_corrupt_images_are_left_out_counted_and_named(tmp_path):
    write_faces(tmp_path / "faces")
    good = (tmp_path / "faces" / "person_1" / "2.jpg").read_bytes()
    (tmp_path / "faces" / "person_1" / "2.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "faces" / "person_2" / "0.jpg").write_bytes(b"not a picture")
    recipe = write_recipe(tmp_path, data={"train": str(tmp_path / "faces")}, epochs=4, batch_size=6)
    code, out, err = run("train", recipe, "--output", tmp_path / "run")
    assert code == 0, err
    assert "corrupt images, which were left out: 2; 8 times in all" in out
    for name in ("person_1/2.jpg", "person_2/0.jpg"):
        assert (out + err).count(name) == 1
    assert fm.load(tmp_path / "run").info.loss == "funface"


@pytest.mark.slow
def test_mistakes_end_with_one_clear_line(tmp_path):
    recipe = write_recipe(tmp_path)
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("optimizer: {learning_rat: 0.1}\n")
    (tmp_path / "empty").mkdir()
    cases = [
        (("train", wrong), "unknown field 'learning_rat'; did you mean 'learning_rate'?"),
        (("train", "demoo"), "did you mean 'demo'?"),
        (("train", recipe, "--data.train", tmp_path / "nowhere"), "nowhere does not exist"),
        (("train", recipe, "--data.train", tmp_path / "empty"), "empty"),
        (("train", recipe, "--batch-size", "900"), "batch_size 900 is larger"),
        (("train", recipe, "--head.name", "funfaec"), "did you mean 'funface'?"),
        (("trian", recipe), "did you mean 'train'?"),
    ]
    for position, (arguments, message) in enumerate(cases):
        output = ["--output", tmp_path / f"run{position}"] if arguments[0] == "train" else []
        code, _, err = run(*arguments, *output)
        assert code == 2 and message in err and "Traceback" not in err, (arguments, err)


def test_an_unknown_option_names_the_nearest(tmp_path):
    code, out, err = run("train", write_recipe(tmp_path), "--output", tmp_path / "run", "--optimizer.learning-rat", "1")
    assert code == 2
    assert "--optimizer.learning-rate" in out + err


@pytest.mark.slow
def test_the_run_folder_says_what_was_done(tmp_path):
    recipe = write_recipe(tmp_path, epochs=2, data={"synthetic_identities": ["mirrored"]}, augmentation={"flip": 0.0})
    code, out, err = run("train", recipe, "--output", tmp_path / "run", "--head.name", "arcface")
    assert code == 0, err
    assert "0 people by name" in out
    written = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert {"torch", "python", "processor", "threads"} <= written.keys()
    model = fm.load(tmp_path / "run")
    assert model.info.loss == "arcface" and model.info.input_size == 16 and "orl:1-4" in model.info.recipe
    # Centres of 4 people and their 4 mirrored twins.
    assert load_file(tmp_path / "run" / "head.safetensors")["weight"].shape == (8, 16)


@pytest.mark.slow
def test_people_in_both_sets_are_found_and_said(tmp_path):
    recipe = write_recipe(tmp_path, epochs=1, validation={"data": ["orl:3-6"]})
    code, out, err = run("train", recipe, "--output", tmp_path / "run")
    assert code == 0, err
    assert "warning" in out and "2 people by name (s3, s4)" in out and "20 pairs of identical images" in out
