"""A network of the user's own, FILE.py:NAME, wherever a command takes a MODEL."""

import csv
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.commands._model_input import InputArguments
from facemargin.commands._own_network import file_key, load_model, short_name

CODE = """\
from pathlib import Path

import torch
from torch import nn

import facemargin as fm
from layers_of_mine import Ending

torch.manual_seed(0)
network = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.PReLU(8), Ending(8, 8 * 16 * 14))
model = fm.wrap(network, input_size=(32, 28), mean=(120, 110, 100), std=(60, 50, 40))
raw = network


def build():
    return fm.wrap(network, input_size=(32, 28), color="bgr")


def broken():
    return {}["weights"]


def leaving():
    raise SystemExit("no weights here")


def given(path):
    return model
"""
LAYERS = """\
from torch import nn


class Ending(nn.Sequential):
    def __init__(self, size, width):
        super().__init__(nn.Flatten(), nn.Linear(width, size))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "layers_of_mine", raising=False)
    (tmp_path / "mine.py").write_text(CODE)
    (tmp_path / "layers_of_mine.py").write_text(LAYERS)
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), fm.open_images("orl:1").read(number)[:, :, ::-1])
    return tmp_path


def test_it_is_evaluated_calibrated_and_decides(own, command):
    code, out, err = command("evaluate", "mine.py:model", "--data", "orl:1-4")
    assert (code, err) == (0, ""), err
    place = own / "evaluations" / "mine-model"
    assert f"report: {place.relative_to(own) / 'report.html'}" in out
    (figures,) = place.glob("evaluation/*/facemargin.json")
    assert json.loads(figures.read_text())["genuine"] == 180
    assert command("calibrate", "mine.py:model", "--pairs", "orl:1-4", "--output", "c.json")[0] == 0
    code, out, err = command("verify", "mine.py:model", "0.png", "1.png", "--calibration", "c.json", "--fmr", "0.1")
    assert code in (0, 1, 3) and "score" in out and err == ""
    code, _, err = command("verify", "mine.py:build", "0.png", "1.png", "--calibration", "c.json", "--fmr", "0.1")
    assert code == 2 and "another model" in err


def test_it_is_embedded_and_gives_qualities(own, command):
    assert command("embed", "mine.py:build", "0.png", "1.png", "--output", "e.npz")[0] == 0
    found = np.load("e.npz")["embeddings"]
    expected = load_model("mine.py:build", "cpu").embed([own / "0.png", own / "1.png"]).vectors
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert command("quality", "mine.py:build", "0.png", "1.png", "--output", "q.csv")[0] == 0
    with (own / "q.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2


def test_it_is_exported(own, command):
    code, out, err = command("export", "mine.py:model", "--output", "m.onnx", "--preprocess")
    assert code == 0 and "m.onnx" in out, err
    from facemargin.export.exported_model import ExportedModel

    images = [own / "0.png", own / "1.png"]
    expected = load_model("mine.py:model", "cpu").embed(images).vectors
    np.testing.assert_allclose(ExportedModel(own / "m.onnx").embed(images).vectors, expected, atol=1e-4)


@pytest.mark.slow
def test_its_input_is_checked(own, command):
    code, out, _ = command("check-model", "mine.py:model", "--pairs", "orl:1-3", "--limit", "20")
    assert code == 0
    assert "RGB, (v − (120, 110, 100))/(60, 50, 40) (declared)" in out
    assert "pixels: 20 pairs cannot tell (v − (120, 110, 100))/(60, 50, 40) from" in out


def test_what_it_reads_can_be_overridden(own):
    given = InputArguments(color="BGR", mean="127.5", std="127.5")
    found = load_model("mine.py:model", "cpu", given)
    assert (found.info.color_order, found.info.mean, found.info.std) == ("BGR", 127.5, 127.5)
    image = [own / "0.png"]
    expected = load_model("mine.py:build", "cpu").embed(image).vectors
    np.testing.assert_allclose(found.embed(image).vectors, expected, atol=1e-6)


def test_features_of_changed_code_are_not_taken_for_the_old_ones(own, command):
    assert command("embed", "mine.py:model", "0.png", "--output", "stored")[0] == 0
    assert command("embed", "mine.py:model", "0.png", "--output", "stored")[0] == 0
    key = file_key("mine.py:model")
    (own / "mine.py").write_text(CODE.replace("nn.PReLU(8)", "nn.PReLU(8), nn.Tanh()"))
    assert file_key("mine.py:model") != key
    code, _, err = command("embed", "mine.py:model", "0.png", "--output", "stored")
    assert code == 2 and "another model" in err


def test_each_file_imports_its_own_neighbours(own):
    first = load_model("mine.py:model", "cpu")
    (own / "other").mkdir()
    (own / "other" / "mine.py").write_text(CODE)
    (own / "other" / "layers_of_mine.py").write_text(LAYERS.replace("nn.Flatten(), ", "nn.Flatten(), nn.Tanh(), "))
    second = load_model("other/mine.py:model", "cpu")
    endings = [[type(part).__name__ for part in model.backbone.module[3]] for model in (first, second)]
    assert endings == [["Flatten", "Linear"], ["Flatten", "Tanh", "Linear"]]
    again = load_model("mine.py:model", "cpu")
    np.testing.assert_array_equal(again.embed([own / "0.png"]).vectors, first.embed([own / "0.png"]).vectors)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mine.py", "does not say which network: give the name of a Model .* as in mine.py:model"),
        ("mine.py:", "does not say which network"),
        ("mine.py:a b", "does not say which network"),
        ("other.py:model", "there is no file other.py, which other.py:model names"),
        ("mine.py:modle", "mine.py has nothing called modle; it has model"),
        ("mine.py:raw", r"raw in mine.py is a Sequential, expected a Model.*fm.wrap\(network"),
        ("mine.py:nn", "nn in mine.py is a module, expected a Model"),
        ("mine.py:Path", "Path in mine.py is Path, expected a Model"),
        ("mine.py:broken", r"broken\(\) in mine.py, line 20 failed: KeyError: 'weights'"),
        ("mine.py:leaving", r"leaving\(\) in mine.py, line 24 failed: SystemExit: no weights here"),
        ("mine.py:given", r"given\(\) in mine.py failed: TypeError"),
    ],
)
def test_what_is_not_there_or_fails_is_said(own, model, message):
    with pytest.raises(fm.ConfigError, match=message):
        load_model(model, "cpu")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nowhere_to_be_found\n", "the file in broken.py, line 1 failed: ModuleNotFoundError"),
        ("model = (\n", "SyntaxError"),
        ("raise SystemExit\n", "SystemExit: no message"),
        ("import facemargin as fm\nmodel = fm.wrap(None)\n", "module is a NoneType"),
    ],
)
def test_a_file_that_does_not_run_is_named(own, code, message):
    (own / "broken.py").write_text(code)
    with pytest.raises(fm.ConfigError, match=message):
        load_model("broken.py:model", "cpu")


@pytest.mark.parametrize(
    "arguments",
    [
        ("push", "mine.py:model", "owner/name", "--dry-run", "out"),
        ("convert-weights", "mine.py:model", "out.safetensors"),
        ("train", "small_cpu", "--initial-weights", "mine.py:model", "--output", "run", "--data.train", "orl:1-2"),
    ],
)
def test_what_needs_a_model_file_runs_no_code(own, command, arguments):
    (own / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    code, _, err = command(*arguments)
    said = " ".join(err.split())
    assert code == 2 and "mine.py:model is Python code, which is never run to load a model file" in said
    with pytest.raises(fm.ConfigError, match=r"is Python code.*give it to fm\.wrap"):
        fm.load("mine.py:model")
    with pytest.raises(fm.ConfigError, match="is Python code"):
        fm.load("mine.py")
    assert not (own / "ran").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--precision", "bf16"), "--precision does not apply to mine.py:model"),
        (("--family", "adaface"), "--family does not apply"),
        (("--layout", "NHWC"), "--layout does not apply"),
        (("--mean", "0.5", "--std", "0.5"), "pixels from 0 to 1"),
        (("--mean", "1,2", "--std", "1,2"), "--mean is '1,2', expected a number such as 127.5, or three with commas"),
        (("--mean", "a", "--std", "1"), "--mean is 'a', expected a number"),
        (("--mean", "1,2,3", "--std", "1,0,2"), "expected positive ones"),
        (("--mean", "1,2,3"), "mean is given without std"),
    ],
)
def test_options_that_it_does_not_have_are_refused(own, command, option, message):
    code, _, err = command("embed", "mine.py:model", "0.png", "--output", "e.npz", *option)
    assert code == 2 and message in " ".join(err.split())


def test_trust_is_for_model_files(own, command):
    code, _, err = command("check-model", "mine.py:model", "--pairs", "orl:1-3", "--trust")
    assert code == 2 and "--trust does not apply to mine.py:model" in " ".join(err.split())


def test_names_of_folders():

    assert short_name(Path("runs/mine.safetensors")) == "mine"
    assert short_name(Path("code/mine.py:model")) == "mine-model"
