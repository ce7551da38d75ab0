"""Where the check of a model's quality is stored, and whose it is."""

import json
import logging
from pathlib import Path

import pytest

import facemargin as fm
from facemargin.decision.checked_model import (
    CheckedModel,
    check_place,
    earlier_checks,
    find_check,
    find_checks,
    shipped_check,
)
from facemargin.decision.shipped import FOLDER
from facemargin.errors import DataError
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.interop.released import RELEASED, is_here

FILES = [entry for entry in (FOLDER / "quality_checks").iterdir() if entry.name.endswith(".json")]
needs_sface = pytest.mark.skipif(
    not is_here(RELEASED["sface"]), reason="SFace is not here: facemargin models get sface"
)


def check_of(measure="norm", verdict="helps") -> QualityCheck:
    return QualityCheck(
        measure, "faces", 9, 3, 2, (0.0, 0.5, 1.0), "people", (), (), (), None, 0, verdict, (), ("it was so",)
    )


@pytest.fixture(scope="module")
def model():
    return fm.wrap(fm.create_backbone("small_resnet", embedding_size=8), input_size=64)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_places(tmp_path):
    (tmp_path / "run").mkdir()
    assert check_place(tmp_path / "run") == tmp_path / "run" / "quality_check.json"
    assert check_place(tmp_path / "run" / "model.safetensors") == tmp_path / "run" / "quality_check.json"
    assert check_place("nets/mine.onnx") == Path("nets/mine.onnx.quality_check.json")
    assert check_place("nets/mine.py:model") == Path("nets/mine-model.quality_check.json")
    checks = tmp_path / "cache" / "facemargin" / "quality_checks"
    assert check_place("sface") == check_place(Path("sface")) == checks / "sface.json"
    assert check_place("hf:owner/name@v1").parent == checks
    assert check_place("hf:owner/name") != check_place("hf:owner/name@v1")


def test_a_stored_check_is_found_with_its_model_alone(tmp_path, model, caplog):
    file = tmp_path / "mine.pt"
    assert find_check(file, model) is None
    checked = CheckedModel.of(model, {"norm": check_of(), "other": check_of("other", "not shown to help")})
    checked.save(check_place(file))
    assert CheckedModel.load(check_place(file)) == checked
    assert find_check(file, model) == check_of()
    assert find_check(file, model, "other").verdict == "not shown to help"
    assert find_check(file, model, "third") is None and not caplog.records
    assert find_checks(file, model, ["third", "other"]) == {"other": checked.checks["other"]}
    another = fm.wrap(fm.create_backbone("small_resnet", embedding_size=8), input_size=64)
    with caplog.at_level(logging.WARNING):
        assert find_check(file, another) is None
    assert "is about another model, or about this one before it changed" in caplog.text


def test_earlier_checks_are_kept_or_it_is_said_why_not(tmp_path, model, caplog):
    file = tmp_path / "q.json"
    assert earlier_checks(file, model, None) == {} and not caplog.records
    CheckedModel.of(model, {"norm": check_of(), "other": check_of("other")}, "one").save(file)
    assert earlier_checks(file, model, "one").keys() == {"norm", "other"} and not caplog.records
    another = fm.wrap(fm.create_backbone("small_resnet", embedding_size=8), input_size=64)
    for given, views, message in (
        (model, "flip", f"{file} (norm, other) are of the model with --views one, and are replaced"),
        (another, "one", f"{file} (norm, other) are of another model, or of this one before it changed, and are repl"),
    ):
        assert earlier_checks(file, given, views) == {}
        assert message in caplog.text
    file.write_text("{", encoding="utf-8")
    assert earlier_checks(file, model, "one") == {}
    assert f"{file} cannot be read as a quality check" in caplog.text and "It is replaced" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "facemargin calibration 1"}, "its format is not 'facemargin quality check 1'"),
        ({"fingerprint": ["1"]}, "the fingerprint is not a list of numbers"),
        ({"views": "two"}, "views is 'two'"),
        ({"checks": {"norm": {}}}, "kinds"),
        ({"checks": []}, "items"),
    ],
)
def test_other_files_are_refused(tmp_path, model, change, message):
    CheckedModel.of(model, {"norm": check_of()}).save(tmp_path / "q.json")
    content = json.loads((tmp_path / "q.json").read_text(encoding="utf-8")) | change
    (tmp_path / "q.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=f"q.json cannot be read as a quality check of facemargin: .*{message}"):
        CheckedModel.load(tmp_path / "q.json")
    with pytest.raises(DataError, match=r"none\.json cannot be read as a quality check: No such file"):
        CheckedModel.load(tmp_path / "none.json")


def test_some_come_with_the_package():
    assert {file.name.removesuffix(".json") for file in FILES} >= {"sface"}
    for file in FILES:
        checked = CheckedModel.load(str(file))
        assert file.name.removesuffix(".json") in RELEASED
        for check in checked.checks.values():
            assert "/" not in check.faces, "the path of somebody's machine"
            assert check.images >= 500 and len(check.discards) == 2


@needs_sface
def test_what_comes_with_the_package_is_of_this_model_and_a_users_own_counts_more(model):
    sface = fm.load("sface")
    shipped = find_check("sface", sface)
    assert shipped == shipped_check(sface).checks["norm"] and shipped.helps
    assert shipped_check(fm.load("sface", color_order="BGR")) is None and shipped_check(model) is None
    CheckedModel.of(sface, {"norm": check_of(verdict="not shown to help")}).save(check_place("sface"))
    assert find_check("sface", sface).verdict == "not shown to help"
