import json
import pickle

import numpy as np
import pytest

import facemargin as fm
from facemargin.commands import calibrate
from facemargin.data.formats.image_files import read_image_file
from facemargin.data.formats.orl import embedded_verification_set
from facemargin.data.source import encode_png
from facemargin.evaluation.number_format import small_rate
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write_empty, write_photographs


def test_the_file_holds_what_the_python_form_measures(command, trained_run, tmp_path):
    code, out, err = command("calibrate", trained_run, "--pairs", "orl:1-4", "--output", tmp_path / "new" / "c.json")
    assert (code, err) == (0, "")
    calibration = fm.Calibration.load(tmp_path / "new" / "c.json")
    expected = fm.calibrate(fm.load(trained_run), embedded_verification_set(range(1, 5)))
    found, same = (json.loads(one.to_json()) for one in (calibration, expected))
    assert found.keys() == same.keys()
    for ours, theirs in zip(found["thresholds"], same["thresholds"], strict=True):
        assert ours["threshold"] == pytest.approx(theirs["threshold"], abs=1e-5)
        assert ours["impostors_accepted"] == theirs["impostors_accepted"]
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line[:1] == "│"]
    assert [row[0] for row in rows] == ["50%", "20%", "10%", "5%", "2%", "1%", "0.5%", "0.2%"]
    for row, point in zip(rows, calibration.thresholds, strict=True):
        low, high = point.estimated or (None, None)
        assert row[3] == ("–" if low is None else f"{small_rate(low).removesuffix('%')}–{small_rate(high)}")
        bound = float(row[4].removeprefix("≤ ").removesuffix("%")) / 100
        assert point.certified * (1 - 1e-12) <= bound <= 1.01 * point.certified
        assert row[5] == f"{point.fnmr:.1%}"  # of 180 genuine pairs
    assert "certified: what it does not exceed, with 95 % confidence" in out
    assert int(rows[0][2]) == calibration.thresholds[0].impostors_accepted
    assert "600 impostor and 180 genuine pairs of orl:1-4, quality: norm, floor by percentile 1" in out


def test_pairs_without_names_say_nothing_of_other_people(command, trained_run, tmp_path):
    pairs = tmp_path / "pairs.bin"
    encoded = [bytes(image) for image in map(encode_png, embedded_verification_set(range(1, 3)).images)]
    pairs.write_bytes(pickle.dumps((encoded, [index < 3 for index in range(10)]), protocol=2))
    code, out, _ = command("calibrate", trained_run, "--pairs", pairs, "--output", tmp_path / "c.json")
    assert code == 0 and "the rates of other people can be neither estimated nor certified: use pairs with names" in out
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line[:1] == "│"]
    assert all(row[3:5] == ["–", "–"] for row in rows)


def test_the_floor_is_chosen(command, tmp_path):
    model = write_crfiqa_model(tmp_path / "model.safetensors")
    floors = {}
    for name, options in (("p", ["--floor-percentile", "20"]), ("f", ["--max-fnmr", "0.5"])):
        path = tmp_path / f"{name}.json"
        arguments = "calibrate", model, "--pairs", "orl:1-3", "--output", path, "--views", "one", *options
        assert command(*arguments)[0] == 0
        calibration = fm.Calibration.load(path)
        assert calibration.views == "one" and calibration.quality == "crfiqa"
        floors[name] = calibration
    quality = fm.load(model).embed(embedded_verification_set(range(1, 4)).images, views="one").quality
    assert floors["p"].thresholds[0].quality_floor == pytest.approx(np.percentile(quality, 20), rel=0.01)
    assert (floors["p"].floor_rule, floors["f"].floor_rule) == ("percentile 20", "FNMR 0.5")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "--pairs", "orl:1-2"], "--output"),
        (["{run}", "--output", "{tmp}/c.json"], "--pairs"),
        (["{run}", "--pairs", "orl:1-2", "--output", "{tmp}/c.txt"], "ends in .json"),
        (["{run}", "--pairs", "orl:1", "--output", "{tmp}/c.json"], "none of the 45 pairs is impostor"),
        (["{run}", "--pairs", "{tmp}/none", "--output", "{tmp}/c.json"], "none"),
        (["{tmp}", "--pairs", "orl:1-2", "--output", "{tmp}/c.json"], "there is no model file"),
        (["{run}", "--pairs", "orl:1-2", "--output", "{tmp}/c.json", "--floor-percentile", "200"], "percentile is 200"),
        (["{run}", "--pairs", "orl:1-2", "--output", "{tmp}/c.json", "--max-fnmr", "2"], "largest FNMR is 2"),
        (["{run}", "--pairs", "orl:1-2", "--output", "{tmp}/file/c.json"], "cannot write"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, arguments, message):
    (tmp_path / "file").touch()
    code, out, err = command("calibrate", *(word.format(run=trained_run, tmp=tmp_path) for word in arguments))
    assert code == 2
    assert message in out + err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_people_is_all_against_all(command, trained_run, tmp_path, monkeypatch):
    write_faces(tmp_path / "faces", range(1, 5), each=10)
    (tmp_path / "faces" / "s1" / "damaged.jpg").write_bytes(b"x")
    paths = [tmp_path / "f.json", tmp_path / "p.json"]
    code, out, err = command("calibrate", trained_run, "--images", tmp_path / "faces", "--output", paths[0])
    assert code == 0 and "damaged.jpg: not an image" in err and "1 of 41 images cannot be read" in err
    assert f"600 impostor and 180 genuine pairs of {tmp_path}/faces, quality: norm" in out
    assert command("make-pairs", tmp_path / "faces", "--all", "--output", tmp_path / "pairs")[0] == 0
    assert command("calibrate", trained_run, "--pairs", tmp_path / "pairs", "--output", paths[1])[0] == 0
    ours, theirs = (fm.Calibration.load(path) for path in paths)
    for one, other in zip(ours.thresholds, theirs.thresholds, strict=True):
        assert one.threshold == pytest.approx(other.threshold, abs=1e-5)
        assert (one.impostors_accepted, one.fnmr) == (other.impostors_accepted, other.fnmr)
        assert one.quality_floor == pytest.approx(other.quality_floor, rel=1e-4)
    monkeypatch.setattr(calibrate, "_MOST_PAIRS", 500)
    code, out, _ = command("calibrate", trained_run, "--images", tmp_path / "faces", "--output", paths[0])
    assert code == 0
    assert "500 of 780 pairs are compared: 180 of 180 genuine and 320 of 600 impostor pairs, drawn with --seed 0" in out
    assert fm.Calibration.load(paths[0]).impostors == 320


def test_photographs_are_calibrated_as_they_will_be_verified(command, trained_run, tmp_path):
    paths = write_photographs(tmp_path / "photos", range(1, 4), each=2)
    write_empty(tmp_path / "photos" / "s1" / "nobody.png")
    output = tmp_path / "c.json"
    code, out, err = command("calibrate", trained_run, "--images", tmp_path / "photos", "--output", output, "--detect")
    assert code == 0 and "nobody.png: no face was found" in err
    assert "12 impostor and 3 genuine pairs" in out
    faces = fm.load(trained_run).embed([fm.align(read_image_file(path)) for path in paths])
    scores = [float(faces.vectors[i] @ faces.vectors[j]) for i in range(6) for j in range(i) if i // 2 != j // 2]
    highest = fm.Calibration.load(output).thresholds[-1]
    assert sum(score >= highest.threshold - 1e-4 for score in scores) >= highest.impostors_accepted
    assert sum(score >= highest.threshold + 1e-4 for score in scores) <= highest.impostors_accepted
    code, _, err = command("calibrate", trained_run, "--images", tmp_path / "photos", "--output", output)
    assert "warning: 7 of 7 images were squashed to a square" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pairs", "orl:1-2", "--images", "orl:1-2"], "both are given: expected either --pairs"),
        ([], "neither is given: expected either --pairs"),
        (["--images", "orl:1"], "10 images make 45 genuine and 0 impostor pairs"),
        (["--images", "orl:1-2", "--on-several", "error"], "--on-several error needs --detect"),
    ],
)
def test_what_to_calibrate_on(command, trained_run, tmp_path, arguments, message):
    code, _, err = command("calibrate", trained_run, "--output", tmp_path / "c.json", *arguments)
    assert code == 2 and message in err
