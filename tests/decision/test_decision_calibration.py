import json
from dataclasses import replace

import pytest

from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.fingerprint import fingerprint
from facemargin.errors import ConfigError, DataError, OutputError
from tests.models.tiny_models import tiny_model


def threshold(target_fmr, value, accepted):
    return Threshold(target_fmr, value, accepted / 2000, (0.0001, 0.004), accepted, 0.1, 3.0, 0.02)


@pytest.fixture(scope="module")
def calibration():
    thresholds = (threshold(0.1, 0.2, 200), threshold(0.01, 0.4, 20), threshold(0.001, 0.6, 2))
    return Calibration("lfw", 2000, 1000, "norm", "flip", "percentile 1", fingerprint(tiny_model()), thresholds)


def test_the_threshold_for_a_rate_is_the_next_stricter_one(calibration):
    for fmr, expected in ((0.9, 0.2), (0.1, 0.2), (0.099, 0.4), (0.01, 0.4), (0.002, 0.6), (0.001, 0.6)):
        assert calibration.at(fmr).threshold == expected


def test_a_rate_that_the_pairs_cannot_tell_is_refused(calibration):
    with pytest.raises(ConfigError) as caught:
        calibration.at(1e-4)
    for text in (
        "FMR of 0.0001",
        "2,000 impostor pairs of lfw",
        "at least 10,000",
        "100,000",
        "lowest rate here is 0.001",
    ):
        assert text in str(caught.value)
    for fmr in (0, 1, -1, float("nan")):
        with pytest.raises(ConfigError, match="expected a number between 0 and 1"):
            calibration.at(fmr)


def test_a_rate_on_few_impostors_is_doubted(calibration):
    assert calibration.doubt(0.1) == calibration.doubt(0.01) == ""
    doubt = calibration.doubt(0.001)
    assert (
        "2,000 impostor pairs, of which 2 are accepted; 10,000 pairs are recommended" in doubt
        and "0.0001 and 0.004" in doubt
    )


def test_it_survives_the_disk(calibration, tmp_path):
    calibration.save(tmp_path / "new" / "c.json")
    assert Calibration.load(tmp_path / "new" / "c.json") == calibration
    assert json.loads((tmp_path / "new" / "c.json").read_text())["impostors"] == 2000
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        calibration.save(tmp_path / "file" / "c.json")


def test_another_models_calibration_is_refused(calibration):
    calibration.require_model(tiny_model())
    for other in (tiny_model(color_order="BGR"), tiny_model(quality="crfiqa")):
        with pytest.raises(ConfigError, match="calibration belongs to another model"):
            calibration.require_model(other)
    with pytest.raises(ConfigError, match="calibration belongs to another model"):
        replace(calibration, views="one").require_model(tiny_model())


def test_damaged_files_are_named(calibration, tmp_path):
    path = tmp_path / "c.json"
    whole = json.loads(calibration.to_json())
    point = whole["thresholds"][0]
    damaged = [
        "",
        "[]",
        "{",
        "\x00",
        json.dumps({**whole, "format": "other"}),
        json.dumps({**whole, "thresholds": []}),
        json.dumps({**whole, "thresholds": [{**point, "threshold": None}]}),
        json.dumps({**whole, "thresholds": [{**point, "threshold": float("nan")}]}),
        json.dumps({**whole, "thresholds": [{**point, "quality_floor": "low"}]}),
        json.dumps({**whole, "thresholds": [{"target_fmr": 0.1}]}),
        json.dumps({**whole, "thresholds": [{**point, "fmr_interval": []}]}),
        json.dumps({**whole, "thresholds": [{**point, "threshold": 10**400}]}),
        json.dumps({**whole, "impostors": "many"}),
        json.dumps({**whole, "fingerprint": ["x"]}),
        json.dumps({**whole, "surprise": 1}),
    ]
    for content in damaged:
        path.write_text(content)
        with pytest.raises(DataError, match=f"{path} cannot be read as a calibration"):
            Calibration.load(path)
    path.write_text(json.dumps({"format": "facemargin plan 1"}))
    with pytest.raises(DataError, match="of facemargin: its format is not 'facemargin calibration 1'"):
        Calibration.load(path)
    path.write_bytes(b"\xff\xfe")
    for missing in (path, tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read as a calibration"):
            Calibration.load(missing)


def test_faces_that_another_detector_may_have_cut_out_are_doubted(calibration):
    unknown, known = replace(calibration, detector=None), replace(calibration, detector="yunet")
    assert unknown.doubt_detector(None) == unknown.doubt_detector("centerface") == known.doubt_detector("yunet") == ""
    assert "does not say which detector cut out its faces; if it was not yunet" in unknown.doubt_detector("yunet")
    assert "faces that yunet found, but centerface finds" in known.doubt_detector("centerface")
