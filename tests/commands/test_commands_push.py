import json

import numpy as np
import pytest
import yaml

import facemargin as fm
from facemargin.cli import main
from facemargin.commands._model_card import Result, model_card, read_results
from facemargin.models.info import ModelInfo


@pytest.fixture(scope="module")
def evaluated(trained_run, tmp_path_factory):
    """A copy of the run with an evaluation."""
    import shutil

    folder = tmp_path_factory.mktemp("push") / "run"
    shutil.copytree(trained_run, folder)
    assert main(["evaluate", str(folder), "--data", "orl:31-34"]) == 0
    return folder


def metadata(card):
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def test_a_dry_run_writes_what_would_be_uploaded(command, evaluated, tmp_path):
    code, out, err = command("push", evaluated, "me/tiny", "--dry-run", tmp_path / "out", "--licence", "mit")
    assert (code, err) == (0, "") and "written, not uploaded" in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["README.md", "model.safetensors"]
    front, body = metadata((tmp_path / "out" / "README.md").read_text(encoding="utf-8"))
    assert front["license"] == "mit" and front["library_name"] == "facemargin" and "funface" in front["tags"]
    summary = json.loads((evaluated / "evaluation" / "orl-31-34" / "facemargin.json").read_text())
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "orl:31-34"
    figures = {metric["type"]: metric["value"] for metric in result["metrics"]}
    expected = {"balanced_accuracy": summary["balanced_accuracy"]["value"]}
    assert figures == expected | {"eer": summary["roc"]["eer"], "auc": summary["roc"]["auc"]}
    assert 'fm.load("hf:me/tiny")' in body and "16 × 16 pixels, RGB, (pixel − 127.5) / 127.5" in body
    assert "| orl:31-34 |" in body
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    loaded = fm.load(tmp_path / "out")
    np.testing.assert_array_equal(loaded.embed(images).vectors, fm.load(evaluated).embed(images).vectors)


def test_without_a_token_it_says_so_before_anything_is_read(command, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    code, _, err = command("push", tmp_path / "nothing", "me/tiny")
    assert code == 2 and "hf auth login" in err and "HF_TOKEN" in err and "--dry-run" in err


@pytest.mark.parametrize("name", ["tiny", "me/", "/tiny", "me/tiny/more", ""])
def test_what_is_no_repository_is_named(command, trained_run, name):
    code, _, err = command("push", trained_run, name, "--dry-run", "x")
    assert code == 2 and "expected owner/name" in err


class Api:
    """Stands for huggingface_hub.HfApi; keeps what it is asked to do."""

    calls: list = []  # noqa: RUF012

    def create_repo(self, name, private, exist_ok):
        self.calls.append(("create", name, private))
        return f"https://hub/{name}"

    def upload_folder(self, repo_id, folder_path, allow_patterns, commit_message):
        self.calls.append(("upload", repo_id, sorted(path.name for path in folder_path.iterdir()), allow_patterns))


def test_two_files_are_uploaded_and_no_more(command, trained_run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    Api.calls.clear()
    code, out, _ = command("push", trained_run, "me/tiny", "--private")
    assert code == 0 and "uploaded: https://hub/me/tiny" in out
    files = ["README.md", "model.safetensors"]
    assert Api.calls == [("create", "me/tiny", True), ("upload", "me/tiny", files, sorted(files, reverse=True))]


def test_what_the_hub_refuses_is_one_line(command, trained_run, monkeypatch):
    class Refuses(Api):
        def create_repo(self, name, private, exist_ok):
            raise OSError("403 Forbidden")

    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_x")
    monkeypatch.setattr("huggingface_hub.HfApi", Refuses)
    code, _, err = command("push", trained_run, "me/tiny")
    assert code == 2 and "me/tiny could not be uploaded: 403 Forbidden" in err


def test_the_card_of_anothers_weights_keeps_their_licence():
    info = ModelInfo(
        backbone="ir_18", options={}, embedding_size=512, input_size=112, loss="adaface", color_order="BGR",
        quality="crfiqa", family="adaface", licence="MIT, but: mind the data",
    )  # fmt: skip
    result = Result("lfw", 3000, 3000, {"accuracy": None, "balanced_accuracy": 0.99, "auc": 0.998})
    front, body = metadata(model_card("me/it", info, [result], None))
    assert front["license"] == "other" and "MIT, but: mind the data" in body
    assert "112 × 112 pixels, BGR" in body and "CR-FIQA" in body
    assert (
        "| set | pairs | Accuracy over folds | Best balanced accuracy | EER | AUC |\n|---|---|---|---|---|---|\n"
        in body
    )
    assert "| lfw | 6,000 | – | 99.00% | – | 0.9980 |" in body


def test_evaluations_that_cannot_be_read_are_left_out(tmp_path):
    for name, text in (("a", "{"), ("b", "[]"), ("c", '{"dataset": "x"}')):
        (tmp_path / "evaluation" / name).mkdir(parents=True)
        (tmp_path / "evaluation" / name / "facemargin.json").write_text(text)
    assert read_results(tmp_path) == []
