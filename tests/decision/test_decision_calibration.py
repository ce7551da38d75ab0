import json
from dataclasses import replace

import pytest

from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.fingerprint import fingerprint
from facemargin.detection import create_detector
from facemargin.errors import ConfigError, DataError, OutputError
from tests.models.tiny_models import tiny_model


def threshold(target_fmr, value, accepted):
    return Threshold(target_fmr, value, accepted / 2000, accepted, 0.1, 3.0, 0.02, (0.0001, 0.004), 0.0321)


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
        "at least 10,000 are needed",
        "facemargin certify",
        "lowest rate here is 0.001",
    ):
        assert text in str(caught.value)
    for fmr in (0, 1, -1, float("nan")):
        with pytest.raises(ConfigError, match="expected a number between 0 and 1"):
            calibration.at(fmr)


def test_a_rate_that_may_be_much_higher_of_other_people_is_doubted(calibration):
    assert calibration.doubt(0.1) == calibration.doubt(0.01) == ""
    for changes, said in (
        (
            {},
            "of other people it is estimated to be between 0.01 % and 0.4 %; certified is only 3.3 %. facem",
        ),
        ({"estimated": None}, "none of the people matches another there, so that no rate of other people can be estim"),
        (
            {"estimated": None, "certified": None},
            "does not say who is in its images, so that nothing is known of other",
        ),
    ):
        points = tuple(replace(point, **changes) for point in calibration.thresholds)
        doubt = replace(calibration, thresholds=points).doubt(0.001)
        assert doubt.startswith("FMR 0.001 is the rate of the 2,000 impostor pairs of lfw; ") and said in doubt


def test_a_file_whose_intervals_count_pairs_is_read_without_them(calibration, tmp_path):
    content = json.loads(calibration.to_json()) | {"format": "facemargin calibration 1"}
    for point in content["thresholds"]:
        del point["estimated"], point["certified"]
        point["fmr_interval"] = [0.0, 0.1]
    (tmp_path / "c.json").write_text(json.dumps(content))
    points = tuple(replace(point, estimated=None, certified=None) for point in calibration.thresholds)
    assert Calibration.load(tmp_path / "c.json") == replace(calibration, thresholds=points)


def test_it_survives_the_disk(calibration, tmp_path):
    calibration = replace(calibration, detector="toy", detector_settings={"min_score": 0.5, "longest_side": 1280})
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
        json.dumps({**whole, "thresholds": [{**point, "estimated": []}]}),
        json.dumps({**whole, "thresholds": [{**point, "threshold": 10**400}]}),
        json.dumps({**whole, "thresholds": [{**point, "estimated": [0.1, float("nan")]}]}),
        json.dumps({**whole, "thresholds": [{**point, "certified": 1.5}]}),
        json.dumps({**whole, "thresholds": [{**point, "fmr_interval": [0.1, 0.2]}]}),
        json.dumps({**whole, "impostors": "many"}),
        json.dumps({**whole, "fingerprint": ["x"]}),
        json.dumps({**whole, "surprise": 1}),
        json.dumps({**whole, "detector": ["toy"]}),
        json.dumps({**whole, "detector_settings": "min_score"}),
        json.dumps({**whole, "detector_settings": {"min_score": [0.5]}}),
    ]
    for content in damaged:
        path.write_text(content)
        with pytest.raises(DataError, match=f"{path} cannot be read as a calibration"):
            Calibration.load(path)
    path.write_text(json.dumps({"format": "facemargin plan 1"}))
    with pytest.raises(DataError, match="of facemargin: its format is not 'facemargin calibration 2'"):
        Calibration.load(path)
    path.write_bytes(b"\xff\xfe")
    for missing in (path, tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read as a calibration"):
            Calibration.load(missing)


class Toy:
    """A detector that finds nothing."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def detect(self, image):
        return []


def test_faces_of_another_detector_are_doubted(calibration):
    toy = Toy(name="toy", settings={"min_score": 0.5, "looks": 2})
    unknown = calibration
    known = replace(calibration, detector="toy", detector_settings={"min_score": 0.5, "looks": 2})
    assert unknown.doubt_detector(None) == unknown.doubt_detector("centerface") == known.doubt_detector(toy) == ""
    assert "does not say which detector found its faces; if it was not toy" in unknown.doubt_detector(toy)
    assert "faces that toy found, but centerface finds" in known.doubt_detector("centerface")
    assert "faces that toy found in photographs, but these images are used as they are" in known.doubt_detector(None)


def test_other_settings_of_the_detector_are_doubted(calibration):
    known = replace(calibration, detector="toy", detector_settings={"min_score": 0.5, "looks": 2})
    other = Toy(name="toy", settings={"min_score": 0.9, "looks": 2, "side": 64})
    assert "with the settings min_score 0.5, but it finds these faces with min_score 0.9, side 64" in (
        known.doubt_detector(other)
    )
    sure = create_detector("centerface", min_score=0.9)
    assert "if it was not centerface with the same settings" in calibration.doubt_detector(sure)


def test_a_detector_or_file_that_does_not_say_its_settings_is_doubted(calibration):
    before = replace(calibration, detector="toy")  # as files were written before they had settings
    assert "does not say with which settings toy found its faces" in before.doubt_detector(Toy(name="toy", settings={}))
    known = replace(before, detector_settings={})
    assert known.doubt_detector(Toy(name="toy", settings={})) == ""
    for settings in ({}, {"settings": None}, {"settings": {"layers": [1]}}):
        assert "toy does not say with which settings" in known.doubt_detector(Toy(name="toy", **settings))


def test_a_detector_without_a_name_is_doubted(calibration):
    known = replace(calibration, detector="toy", detector_settings={})
    assert "faces that toy found, but Toy finds" in known.doubt_detector(Toy())
    assert "if it was not Toy" in calibration.doubt_detector(Toy(settings={}))
    assert "Toy does not say with which settings" in replace(known, detector="Toy").doubt_detector(Toy(name=3))


def test_a_file_from_before_detectors_were_stored_is_read(calibration, tmp_path):
    content = json.loads(calibration.to_json())
    del content["detector"], content["detector_settings"]
    (tmp_path / "c.json").write_text(json.dumps(content))
    assert Calibration.load(tmp_path / "c.json") == calibration
