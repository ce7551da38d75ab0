import csv
from types import SimpleNamespace

import numpy as np
import pytest

from facemargin.commands import demo
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import ConfigError
from facemargin.evaluation import PairScores, fit_pixel_embed, summarize
from facemargin.training.recipe import load_recipe

TINY = ("--epochs", "1", "--backbone.width", "4", "--backbone.input-size", "16", "--validation.views", "one")


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary():
    rng = np.random.default_rng(0)
    return summarize(PairScores("facemargin", "orl-full:31-40", rng.normal(size=200), rng.random(200) < 0.5))


def test_the_splits_share_nobody():
    for train_people, test_people in demo.SPLITS.values():
        assert not set(train_people) & set(test_people)
    train_people, test_people = demo.SPLITS["dev"]
    assert not {*train_people, *test_people} & set(range(31, 41))


def test_an_earlier_demo_is_cleared(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / "recipe.yaml").write_text("data: {train: 'orl-full:1-30'}")
    (folder / "report.html").touch()
    demo._clear(folder)
    assert not folder.exists()
    demo._clear(folder)  # nothing there is fine


def test_an_empty_folder_is_taken(tmp_path):
    demo._clear(tmp_path)
    assert not list(tmp_path.glob("*"))


@pytest.mark.parametrize("recipe", [None, "data: {train: /data/faces}"])
def test_another_folder_is_left_alone(tmp_path, recipe):
    (tmp_path / "thesis.tex").write_text("years of work")
    if recipe:
        (tmp_path / "recipe.yaml").write_text(recipe)
    with pytest.raises(ConfigError, match="is not an earlier demo, so it is not replaced; choose another --output"):
        demo._clear(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_the_command_leaves_another_folder_alone(command, tmp_path):
    (tmp_path / "thesis.tex").touch()
    code, _, err = command("demo", "--output", tmp_path, *TINY)
    assert code == 2 and "it is not replaced" in err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_mistake_in_the_recipes_fields_leaves_the_earlier_demo_alone(command, tmp_path):
    (tmp_path / "recipe.yaml").write_text("data: {train: 'orl-full:1-30'}")
    assert command("demo", "--output", tmp_path, "--epochs", "0")[0] == 2
    assert command("demo", "--output", tmp_path, "--epoch", "3")[0] == 2
    assert (tmp_path / "recipe.yaml").exists()


def test_every_look_at_the_test_people_is_logged(tmp_path):
    path, one = tmp_path / "test_looks.csv", summary()
    for seed in (0, 1):
        demo._log_look(path, load_recipe("demo", ["--seed", str(seed)]), one)
    first, second = rows(path)
    assert (first["seed"], second["seed"]) == ("0", "1")
    assert float(first["balanced_accuracy"]) == one.balanced_accuracy.value
    assert float(first["tar_at_far_0.01"]) == one.tar_at_far.points[1].tar
    assert first["date"] <= second["date"]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_demo_trains_evaluates_and_reports(command, tmp_path, monkeypatch, split):
    train_people, test_people = range(1, 4), range(4, 6)
    monkeypatch.setitem(demo.SPLITS, split, (train_people, test_people))
    output = tmp_path / "runs" / "demo"
    code, out, err = command("demo", "--split", split, "--output", output, *TINY)
    assert (code, err) == (0, "")
    assert f"report: {output}/report.html" in out
    for text in ("raw pixels", "PCA", "facemargin", "orl-full:4-5", "orl-full:4-5-degraded", "best balanced"):
        assert text in out
    page = (output / "report.html").read_text()
    assert "seconds of training" in page and "orl-full:1-3" in page
    looks = tmp_path / "runs" / "test_looks.csv"
    assert looks.exists() == (split == "test")
    # Again: the folder is replaced, the log goes on.
    assert command("demo", "--split", split, "--output", output, *TINY)[0] == 0
    assert not looks.exists() or len(rows(looks)) == 2


@pytest.mark.slow
def test_the_baselines_read_squares_and_whole_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(
        demo,
        "load",
        lambda folder, device, precision: SimpleNamespace(embed=lambda images: fit_pixel_embed(images)(images)),
    )
    clean, degraded = demo.evaluate_demo(tmp_path, range(1, 4), range(4, 6))
    for name, square in (("raw-pixels", True), ("raw-pixels-whole-frame", False)):
        train, test = (EmbeddedFaces(people, square=square) for people in (range(1, 4), range(4, 6)))
        vectors = fit_pixel_embed(train)(test).vectors.astype(np.float64)
        (stored,) = (tmp_path / "evaluation" / "orl-full-4-5").glob(f"{name}.npz")
        np.testing.assert_allclose(PairScores.load(stored).scores_K[0], vectors[0] @ vectors[1], atol=1e-6)
    systems = ["facemargin", "raw pixels", "raw pixels (whole frame)", "PCA", "PCA (whole frame)"]
    assert [one.system for one in clean] == [one.system for one in degraded] == systems
