"""`facemargin replay`, by its `main`: what is shown, what is written, what is refused."""

import json

import numpy as np
import pytest
from rich.console import Console

import facemargin as fm
from facemargin.commands import replay
from facemargin.data.findings import write_findings
from facemargin.errors import ConfigError, DataError
from facemargin.report import write_run_report
from facemargin.report.content import load_run
from facemargin.report.formats import write_formats


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    run = tmp_path_factory.mktemp("recorded") / "run"
    recipe = fm.load_recipe("small_cpu", epochs=2, batch_size=10, data={"train": "orl:1-4"}, recorder=True)
    fm.train(recipe, run, console=Console(quiet=True))
    return run


def test_margins_side_by_side(recorded, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    output = tmp_path / "replay.json"
    heads = "funface,adaface,arcface:margin=0.3"
    assert replay.main([str(recorded), "--heads", heads, "--bands", "3", "--output", str(output)]) == 0
    out = capsys.readouterr().out
    assert "steps 5 to 8: 40 visits" in out and "from the shortest features (1) to the longest (3)" in out
    written = json.loads(output.read_text())
    # the run's own margin once, though it is also asked for
    assert list(written["margins"]) == ["funface (this run)", "adaface", "arcface:margin=0.3"]
    recording = fm.load_recording(recorded)
    replayed = fm.replay(recording, "arcface", margin=0.3)  # at the recorded scale, 32
    late_V = recording["step"] >= 5
    arcface = written["margins"]["arcface:margin=0.3"]
    assert arcface["mean_loss"] == pytest.approx(replayed.loss_V[late_V].mean())
    order_L = np.argsort(recording["feature_norm"][late_V].astype(float), kind="stable")
    parts = [replayed.gradient_V[late_V][part].sum() for part in np.split(order_L, [14, 27])]
    assert arcface["band_shares"] == pytest.approx([part / sum(parts) for part in parts])


def test_all_leaves_out_what_the_recording_cannot_tell_and_says_why(recorded, capsys):
    assert replay.main([str(recorded), "--heads", "all", "--steps", "1-8"]) == 0
    out = capsys.readouterr().out
    assert "steps 1 to 8: 80 visits" in out
    assert "note: lh2face is left out: lh2face has the scale of each feature's norm" in out
    assert "note: curricularface is left out: curricularface with these settings re-weights" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--heads", "curricularface"], "re-weights hard negatives"),
        (["--heads", "arcface:scale=3"], "arcface has the scale 3.0, the training was recorded at 32.0"),
        (["--steps", "3-x"], "--steps is '3-x', expected a step or a range"),
        (["--steps", "9"], "no visit is of the steps 9 to 9: the recording has 1 to 8"),
        (["--bands", "0"], "bands is 0, expected 1 to 40"),
        (["--bands", "41"], "bands is 41, expected 1 to 40"),
        (["--output", "replay.csv"], "expected a name that ends in .json"),
    ],
)
def test_refused(recorded, options, words):
    with pytest.raises(ConfigError, match=words):
        replay.main([str(recorded), *options])


def test_a_folder_without_a_recording(tmp_path):
    with pytest.raises(DataError, match="holds no recording: train with --recorder True"):
        replay.main([str(tmp_path)])


def test_the_pull_on_what_an_audit_suspects(recorded, tmp_path, capsys):
    images = fm.open_images("orl:1-4")
    noise = [fm.Finding(images.describe(index), "mislabelled", 0.9, "s1") for index in (3, 17, 17)]
    others = [fm.Finding(images.describe(5), "duplicate", 0.9, "s1"), fm.Finding("s1", "split", 0.9, "s1", "s2")]
    others.append(fm.Finding(images.describe(6), "no_face", 0.49, "s1"))  # less sure than not
    write_findings([*noise, *others], tmp_path / "findings.csv")
    output = tmp_path / "replay.json"
    arguments = [str(recorded), "--audit", str(tmp_path), "--output", str(output), "--heads", "cosface"]
    assert replay.main(arguments) == 0
    assert (
        "suspects: the images that the audit found with a score of 0.5 or more, 5.00% of the visits"
        in capsys.readouterr().out
    )
    written = json.loads(output.read_text())
    recording = fm.load_recording(recorded)
    late_V = recording["step"] >= 5
    gradient_V = fm.replay(recording, "cosface").gradient_V
    suspect_V = np.isin(recording["sample"], (3, 17)) & late_V
    expected = gradient_V[suspect_V].sum() / gradient_V[late_V].sum()
    assert written["margins"]["cosface"]["suspect_share"] == pytest.approx(expected)
    assert written["suspect_visits"] == pytest.approx(0.05)


def test_an_audit_of_another_set_is_refused(recorded, tmp_path):
    write_findings([fm.Finding("elsewhere/1.png", "no_face", 0.9, "s1")], tmp_path / "findings.csv")
    with pytest.raises(DataError, match=r"1 finding is of images that orl:1-4 does not have, such as elsewhere/1\.png"):
        replay.main([str(recorded), "--audit", str(tmp_path)])


def test_the_report_shows_how_the_set_was_learned(recorded):
    path = write_run_report(recorded)
    page = path.read_text(encoding="utf-8")
    assert "How the set was learned" in page and "Every image at the end" in page
    assert "People who are most often taken for each other" in page


def test_the_report_marks_what_an_audit_found(recorded, tmp_path):
    images = fm.open_images("orl:1-4")
    found = [("mislabelled", 3, 0.9), ("no_face", 3, 0.6), ("unrecognisable", 8, 0.7), ("duplicate", 9, 0.4)]
    write_findings(
        [fm.Finding(images.describe(i), kind, score, "s1") for kind, i, score in found], tmp_path / "findings.csv"
    )
    content = load_run(recorded, tmp_path)
    assert {i: kind for i, kind in enumerate(content.recording.kind_N) if kind} == {
        3: "mislabelled",
        8: "unrecognisable",
    }
    page = write_run_report(recorded).read_text(encoding="utf-8")
    assert "facemargin report --audit marks what an audit found" in page and "mislabelled" not in page
    write_formats(recorded, ["html"], None, tmp_path)
    page = (recorded / "report.html").read_text(encoding="utf-8")
    assert "Marked are 2 that an audit found" in page and "mislabelled" in page and "no_face" not in page
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / "recipe.yaml").write_text("seed: 0\n")
    with pytest.raises(DataError, match="holds no recording, whose images an audit would colour"):
        load_run(tmp_path / "nothing", tmp_path)
