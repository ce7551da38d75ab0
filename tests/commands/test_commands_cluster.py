"""`facemargin cluster`, by its `main`: what is printed, what is written, what is refused."""

import csv
import shutil
from collections import Counter

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.commands import cluster
from facemargin.errors import ConfigError, OutputError


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    faces = fm.open_images("orl:1-4")
    for number in range(len(faces)):
        (folder / f"day{number % 2}").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"day{number % 2}" / f"{number // 2}.png"), faces.read(number))
    return folder


def run(*arguments):
    return cluster.main([str(argument) for argument in arguments])


def test_a_list_of_groups(trained_run, photographs, tmp_path, capsys):
    output = tmp_path / "groups.csv"
    model, paths = fm.load(trained_run), sorted(photographs.rglob("*.png"))
    floor = float(np.median(model.embed(paths).quality))
    assert run(trained_run, photographs, "--threshold", 0.9, "--quality-floor", floor, "--output", output) == 0
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    groups = Counter(row["group"] for row in rows)
    assert len(rows) == 40 and groups.pop("") == 20 and max(groups.values()) > 1
    assert [int(row["images"]) for row in rows] == [groups[row["group"]] for row in rows]
    enough = [row for row in rows if row["group"]]
    expected = fm.cluster(model.embed([row["path"] for row in enough]).vectors, 0.9)
    assert [int(row["group"]) for row in enough] == (expected.numbers + 1).tolist()
    out = capsys.readouterr().out
    assert "from a mean score of 0.9000 on (as given), by the method average" in out
    assert f"20 images of a quality below {floor:.4g} put aside" in out


def test_folders_of_copies(trained_run, photographs, tmp_path, capsys):
    output = tmp_path / "people"
    assert run(trained_run, photographs, "--threshold", 0.9999, "--output", output) == 0
    copies = [path for path in output.rglob("*") if path.is_file()]
    assert len(copies) == 40
    # two photographs of one name in one group are both there
    assert sorted(map(hash_of, copies)) == sorted(map(hash_of, photographs.rglob("*.png")))
    assert {folder.name.split("_")[0] for folder in output.iterdir()} <= {"group", "alone"}
    assert list(tmp_path.iterdir()) == [output]
    with pytest.raises(ConfigError, match="exists already"):
        run(trained_run, photographs, "--threshold", 0.99, "--output", output)


def hash_of(path):
    return hash(path.read_bytes())


def test_nothing_is_left_behind_where_a_copy_fails(trained_run, photographs, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left"):
        run(trained_run, photographs, "--threshold", 0.9, "--output", tmp_path / "people")
    assert list(tmp_path.iterdir()) == []


def test_known_people_are_compared_with(trained_run, capsys):
    assert run(trained_run, "--data", "orl:1-4", "--threshold", 0.99999) == 0
    out = capsys.readouterr().out
    assert "40 images of 4 people in" in out and "B-cubed" in out and "pairwise" in out


def test_the_thresholds_of_a_calibration(trained_run, photographs, tmp_path, capsys):
    model = fm.load(trained_run)
    calibration = fm.calibrate(model, fm.open_verification("orl:5-12"))
    path = tmp_path / "calibration.json"
    calibration.save(path)
    assert run(trained_run, photographs, "--calibration", path) == 0
    out, _ = capsys.readouterr()
    lowest = min(point.target_fmr for point in calibration.thresholds)
    used = calibration.at(max(1 / 40, lowest))
    assert f"{used.threshold:.4f} on (FMR {used.target_fmr:.2g} on orl:5-12)" in out
    assert run(trained_run, photographs, "--calibration", path, "--fmr", 0.5) == 0
    assert "of 40 images of different people about 390 pairs reach the threshold by chance" in capsys.readouterr().err


def test_the_threshold_of_a_certificate(trained_run, photographs, tmp_path, capsys):
    certificate = fm.certify(fm.load(trained_run), fm.open_images("orl:5-40"), fmr=0.3)
    path = tmp_path / "certificate.json"
    certificate.save(path)
    assert run(trained_run, photographs, "--certificate", path) == 0
    out, err = capsys.readouterr()
    (band,) = certificate.thresholds.bands
    assert f"{band.fmr.threshold:.4f} on (FMR 0.3 of pairs, certified on orl:5-40)" in out
    assert "about 234 pairs reach the threshold by chance" in err
    fm.certify(fm.load(trained_run), fm.open_images("orl:5-40"), fmr=1e-3).save(path)
    with pytest.raises(ConfigError, match=r"this certificate has no threshold: FMR 0\.001 needs"):
        run(trained_run, photographs, "--certificate", path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "give images of unknown people, or --data"),
        (["a.png", "--data", "orl:1-2", "--threshold", "0.5"], "and not both"),
        (["a.png", "--threshold", "0.5", "--fmr", "0.1"], "--fmr has no effect"),
        (["--data", "orl:1-2", "--threshold", "0.5", "--output", "folder"], "ends in .csv"),
        (["a.png", "--certificate", "c.json", "--fmr", "0.1"], "--fmr has no effect"),
        (["a.png", "--views", "one"], "--views goes with --threshold"),
        (["--data", "orl:1-2"], "this model has no thresholds"),
    ],
)
def test_refused(trained_run, options, words):
    with pytest.raises(ConfigError, match=words):
        run(trained_run, *options)
