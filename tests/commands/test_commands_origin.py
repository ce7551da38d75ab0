"""Figures of another set or model are not replaced without a word."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from facemargin.commands._origin import model_origin
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.models.load import load
from tests.protocol_folders import write_survface


def pairs_of(folder, first, second):
    """A set called "mine": two people with two images each."""
    faces = EmbeddedFaces([first, second])
    (folder / "images").mkdir(parents=True)
    for place, index in enumerate((0, 1, 10, 11)):
        (folder / "images" / f"{place}.png").write_bytes(faces.read_encoded(index))
    (folder / "pairs.csv").write_text(
        "".join(f"images/{p}.png,images/{q}.png,{s}\n" for p, q, s in ((0, 1, 1), (2, 3, 1), (0, 2, 0), (1, 3, 0)))
    )
    return folder


def embeddings_of(path, seed):
    np.savez(
        path,
        paths=np.array([f"images/{n}.png" for n in range(4)]),
        embeddings=np.random.default_rng(seed).normal(size=(4, 8)),
    )
    return path


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".npz"}


@pytest.fixture
def places(tmp_path):
    for name, people in (("a", (31, 32)), ("b", (33, 34))):
        pairs_of(tmp_path / name / "mine", *people)
        (tmp_path / f"model_{name}").mkdir()
        embeddings_of(tmp_path / f"model_{name}" / "theirs.npz", seed=ord(name))
    return tmp_path


def test_two_sets_of_one_name_are_not_mixed_up(command, places):
    one, out = places / "model_a" / "theirs.npz", places / "out"
    assert command("evaluate", one, "--data", places / "a" / "mine", "--output", out)[0] == 0
    before = contents(out / "evaluation" / "mine")
    code, _, err = command("evaluate", one, "--data", places / "b" / "mine", "--output", out)
    assert code == 2
    assert f"{out}/evaluation/mine holds figures of {places}/a/mine (fingerprint " in err
    assert f"but the new figures would be of {places}/b/mine (fingerprint " in err and "--overwrite" in err
    assert contents(out / "evaluation" / "mine") == before
    # the very same may be evaluated again, also from another place
    moved = shutil.copytree(places / "a" / "mine", places / "elsewhere" / "mine")
    assert command("evaluate", one, "--data", moved, "--output", out)[0] == 0
    (out / "evaluation" / "mine" / "notes").mkdir()  # somebody's own
    assert command("evaluate", one, "--data", places / "b" / "mine", "--output", out, "--overwrite")[0] == 0
    assert (out / "evaluation" / "mine" / "notes").is_dir()
    assert contents(out / "evaluation" / "mine")["faces.npz"] != before["faces.npz"]
    assert command("evaluate", one, "--data", places / "a" / "mine", "--output", out)[0] == 2


def test_two_models_of_one_name_are_not_mixed_up(command, places):
    first, second = (places / f"model_{name}" / "theirs.npz" for name in "ab")
    command("evaluate", first, "--data", places / "a" / "mine", "--output", places / "out")
    before = contents(places / "out" / "evaluation" / "mine")
    code, _, err = command("evaluate", second, "--data", places / "a" / "mine", "--output", places / "out")
    assert code == 2 and f"holds figures of {first} (fingerprint" in err and f"would be of {second} (" in err
    assert contents(places / "out" / "evaluation" / "mine") == before
    other = shutil.copy(second, places / "other.npz")
    assert command("evaluate", other, "--data", places / "a" / "mine", "--output", places / "out")[0] == 0
    origin = json.loads((places / "out" / "evaluation" / "mine" / "origin.json").read_text())
    assert sorted(origin["systems"]) == sorted(origin["making"]) == ["other", "theirs"]
    made = origin["making"]["other"]
    assert "UTC" in made["date"] and made["versions"].startswith("facemargin ") and not made["loss"]
    (places / "out" / "evaluation" / "mine" / "origin.json").write_text("{")
    code, _, err = command("evaluate", other, "--data", places / "a" / "mine", "--output", places / "out")
    assert code == 2 and "origin.json is damaged" in err


@pytest.mark.slow
def test_a_runs_own_figures_follow_it_and_no_other_models_take_their_place(command, trained_run, places):
    run = shutil.copytree(trained_run, places / "run")
    data = ("--data", places / "a" / "mine")
    assert command("evaluate", run, *data)[0] == 0
    other = places / "other.safetensors"
    shutil.copy(run / "model.safetensors", other)
    assert command("evaluate", other, *data, "--output", run)[0] == 0  # the same weights
    _scale_weights(run / "model.safetensors")
    assert command("evaluate", run, *data)[0] == 0  # trained further, say
    code, _, err = command("evaluate", other, *data, "--output", run)
    assert code == 2 and f"holds figures of {run} (fingerprint" in err
    assert command("evaluate", other, *data, "--output", run, "--overwrite")[0] == 0
    assert command("evaluate", run, *data)[0] == 2  # they are another model's now


def _scale_weights(path):
    with safe_open(path, "np") as file:
        metadata, names = file.metadata(), list(file.keys())
        arrays = {name: file.get_tensor(name) for name in names}
    name = next(name for name, array in arrays.items() if array.dtype == np.float32 and array.ndim > 1)
    save_file(arrays | {name: 1.5 * arrays[name]}, path, metadata)


def test_protocols_are_not_mixed_up(command, trained_run, tmp_path):
    write_survface(tmp_path / "one")
    write_survface(tmp_path / "two", people=5)
    run = ("evaluate", trained_run, "--protocol", "survface-identification", "--output", tmp_path / "out")
    assert command(*run, "--data", tmp_path / "one")[0] == 0
    code, out, _ = command(*run, "--data", tmp_path / "one", "--gallery", "best")
    assert code == 0 and "gallery: a person scores as the best of their entries" in out
    code, _, err = command(*run, "--data", tmp_path / "two")
    assert code == 2 and "holds figures of" in err
    assert command(*run, "--data", tmp_path / "two", "--overwrite")[0] == 0


def test_a_file_that_is_replaced_is_said(command, trained_run, places):
    images = places / "a" / "mine" / "images"
    for arguments, name in (
        (("embed", trained_run, images), "e.npz"),
        (("quality", trained_run, images), "q.csv"),
        (("calibrate", trained_run, "--pairs", "orl:31-32"), "c.json"),
        (("make-pairs", "orl", "--pairs", "40"), "p.bin"),
    ):
        code, _, err = command(*arguments, "--output", places / name)
        assert (code, err) == (0, ""), name
        code, _, err = command(*arguments, "--output", places / name)
        assert code == 0 and f"note: {places / name} exists already and is replaced" in err


def test_figures_of_another_precision_are_of_another_origin(command, trained_run, places):
    arguments = ["evaluate", trained_run, "--data", places / "a" / "mine", "--output", places / "out"]
    assert command(*arguments)[0] == 0
    before = contents(places / "out" / "evaluation" / "mine")
    code, _, err = command(*arguments, "--precision", "bf16")
    assert code == 2 and "holds figures of" in err and " in bf16)" in err
    assert contents(places / "out" / "evaluation" / "mine") == before
    assert command(*arguments, "--precision", "bf16", "--overwrite")[0] == 0
    origin = json.loads((places / "out" / "evaluation" / "mine" / "origin.json").read_text())
    assert origin["systems"]["facemargin"]["fingerprint"].endswith(" in bf16")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_models_are_told_apart_by_weights_of_any_type(trained_run, dtype):
    model = load(trained_run)
    model.recognizer.to(dtype)
    first = model_origin("model", model)
    assert model_origin("model", model) == first
    with torch.no_grad():
        next(model.recognizer.parameters()).flatten()[0] += 1
    assert model_origin("model", model) != first
