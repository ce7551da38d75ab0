import json

import numpy as np
import pytest
from face_folder import write_crfiqa_model

import facemargin as fm
from facemargin.data.embedded import embedded_verification_set


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
    assert [row[0] for row in rows] == ["0.5", "0.2", "0.1", "0.05", "0.02", "0.01", "0.005", "0.002"]
    assert [row[2].endswith(" (few)") for row in rows] == [False] * 5 + [True] * 3  # fewer than ten
    assert int(rows[0][2]) == calibration.thresholds[0].impostors_accepted
    assert "600 impostor and 180 genuine pairs of orl:1-4, quality: norm, floor by percentile 1" in out


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
