"""Calibrations that come with the package."""

import copy
import json

import pytest

import facemargin as fm
from facemargin.decision.shipped import FOLDER, shipped_calibration
from facemargin.interop.released import RELEASED, is_here

FILES = [entry for entry in (FOLDER / "calibrations").iterdir() if entry.name.endswith(".json")]
needs_sface = pytest.mark.skipif(
    not is_here(RELEASED["sface"]), reason="SFace is not here: facemargin models get sface"
)


def test_there_are_some_each_of_a_released_model():
    assert {file.name.removesuffix(".json") for file in FILES} >= {"sface"}
    assert all(file.name.removesuffix(".json") in RELEASED for file in FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_hold_rates_and_thresholds_and_say_on_whom(file):
    text = file.read_text(encoding="utf-8")
    assert "/" not in json.loads(text)["pairs"], "the path of somebody's machine"
    assert len(text) < 30_000
    calibration = fm.Calibration.load(file)
    assert calibration.at(fmr=1e-3).fmr <= 1e-3 and calibration.genuine > 1000
    assert calibration.doubt(1e-3) == "", "too few pairs for the rate that verify takes by default"


@needs_sface
def test_it_belongs_to_this_model_alone():
    model = fm.load("sface")
    shipped = shipped_calibration(model)
    assert shipped is not None and shipped == shipped_calibration(fm.load("sface"))
    trained_on = copy.deepcopy(model)
    for weight in trained_on.backbone.parameters():
        weight.data *= 1.3
    assert shipped_calibration(trained_on) is None
    assert shipped_calibration(fm.load("sface", color_order="BGR")) is None
    assert shipped_calibration(fm.wrap(fm.create_backbone("small_resnet", embedding_size=8), input_size=64)) is None
