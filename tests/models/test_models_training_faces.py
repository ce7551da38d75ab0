"""A model that is measured on faces which it was trained on is doubted, whatever measures it."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

import facemargin as fm
from facemargin.data.open import open_images
from facemargin.models.training_faces import warn_of_training_faces

SHARED = "are in the model's training set, so"


def trained_on(place: str) -> fm.Model:
    model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=16, input_size=16), input_size=16)
    model.info = replace(model.info, recipe=f"data:\n  train: {place}\n")
    return model


def copy_faces(folder: Path, people: range, first: int = 0) -> Path:
    """Folders with numbers for names, as training sets have them."""
    faces = open_images("orl:1-40")
    for person in people:
        for image in range(4):
            path = folder / str(person + first) / f"{image}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(faces.read_encoded(10 * person + image))
    return folder


@pytest.mark.parametrize(
    "measure",
    [
        lambda model, set_name: fm.calibrate(model, fm.open_verification(set_name)),
        lambda model, set_name: fm.certify(model, fm.open_images(set_name), fmr=0.3),
        lambda model, set_name: fm.audit(model=model, data=set_name),
    ],
    ids=["calibrate", "certify", "audit"],
)
def test_thresholds_promises_and_findings_from_people_of_the_training_set_are_doubted(measure, caplog):
    measure(trained_on("orl:1-30"), "orl:28-34")
    assert SHARED in caplog.text and "3 people by name (s28, s29, s30)" in caplog.text
    assert "30 pairs of identical images" in caplog.text
    caplog.clear()
    measure(trained_on("orl:1-30"), "orl:31-36")
    assert SHARED not in caplog.text


def test_pictures_without_names_are_compared(tmp_path, caplog):
    train = copy_faces(tmp_path / "train", range(5))
    again = copy_faces(tmp_path / "again", range(3, 7), first=100)
    warn_of_training_faces(trained_on(str(train)).info, fm.open_images(again), "it is known")
    assert "so it is known" in caplog.text and "8 pairs of identical images" in caplog.text
    caplog.clear()
    warn_of_training_faces(trained_on(str(train)).info, fm.open_images(again), "it is known", compare_images=False)
    assert not caplog.text


def test_the_training_set_itself_is_known_by_its_place(tmp_path, caplog):
    """However large it is, and without names."""
    train = copy_faces(tmp_path / "train", range(3))
    fm.certify(trained_on(str(train)), fm.open_images(train), fmr=0.9)
    assert f"the model was trained on {train}, so the promises do not hold" in caplog.text


@pytest.mark.parametrize("recipe", ["", "data: 3", "data: {train: ''}", "data: {train: nowhere}", "{", "- a"])
def test_where_the_training_set_is_not_known_nothing_is_said(recipe, caplog):
    info = replace(trained_on("orl").info, recipe=recipe)
    with caplog.at_level(logging.WARNING):
        warn_of_training_faces(info, fm.open_images("orl:1-2"), "it is known")
    assert not caplog.text
