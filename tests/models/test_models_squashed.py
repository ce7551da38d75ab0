"""A model that is given images that are not square says how many it squashes, once a call."""

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.source import ArrayImages, ImageSubset
from facemargin.data.squareness import SquashingTold
from facemargin.evaluation import check_quality
from facemargin.export.exported_model import ExportedModel
from facemargin.features.measures import measure_quality
from facemargin.features.store import extract_features
from facemargin.models.readable import embed_readable
from facemargin.training.validation import validate
from tests.models.tiny_models import tiny_model

RANDOM = np.random.default_rng(0)
SQUARE, WIDE = (RANDOM.integers(0, 256, (30, width, 3), np.uint8) for width in (30, 40))
SOME = [SQUARE, WIDE, SQUARE, WIDE, WIDE]
SAID = "3 of the 5 images are not square"


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("squashed") / "model.onnx"
    fm.export_onnx(model, path)
    return ExportedModel(path)


def pairs_of(images):
    first = np.arange(4)
    return fm.VerificationSet("mine", ArrayImages(images, "mine"), first, first + 1, np.array([True, False] * 2))


WAYS = {
    "embed": lambda model, exported, images, folder: model.embed(images, batch_size=2),
    "readable": lambda model, exported, images, folder: embed_readable(model, ArrayImages(images), batch_size=2),
    "stored": lambda model, exported, images, folder: extract_features(model, ArrayImages(images), folder / "x"),
    "grafiqs": lambda model, exported, images, folder: measure_quality(model, images, "grafiqs"),
    "exported": lambda model, exported, images, folder: exported.embed(images, 2),
    "calibrate": lambda model, exported, images, folder: fm.calibrate(model, pairs_of(images)),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_squashed_is_counted_and_named_once(way, model, exported, tmp_path, caplog):
    WAYS[way](model, exported, SOME, tmp_path)
    assert caplog.text.count(SAID) == caplog.text.count("square (") == 1, caplog.text
    assert "image 1: 40 × 30" in caplog.text and "image 4: 40 × 30) and were squashed to a square" in caplog.text
    caplog.clear()
    WAYS[way](model, exported, [SQUARE] * 5, tmp_path / "square")
    assert "square" not in caplog.text


def test_verify_says_it_of_the_two_images_and_not_with_a_detector(model, caplog):
    fm.verify(model, SQUARE, WIDE)
    assert caplog.text.count("1 of the 2 images is not square (the given images: image 1: 40 × 30)") == 1
    caplog.clear()
    fm.verify(model, SQUARE, SQUARE)
    assert caplog.text == ""


def test_what_was_told_or_is_wanted_is_not_told_again(model, caplog):
    told = SquashingTold(ArrayImages(SOME))
    expected = model.embed(ArrayImages(SOME)).vectors
    caplog.clear()
    np.testing.assert_array_equal(model.embed(told).vectors, expected)
    model.embed(ImageSubset(told, [1, 2]))
    model.embed(fm.open_images("orl-full:1"))
    validate(model, [pairs_of(SOME)])  # the training tells of its test sets when it starts
    assert caplog.text == ""
    check_quality(lambda images: model.embed(SquashingTold(images)), ImageSubset(told, [0, 1, 2, 3]))
    assert caplog.text == ""


def test_the_images_themselves_are_the_same(model):
    loose = ArrayImages(SOME, "mine")
    told = SquashingTold(loose)
    assert told.name == "mine" and len(told) == 5 and told.threadsafe and told.describe(3) == "mine: image 3"
    assert told.read(1) is WIDE and told.read_encoded(0) == loose.read_encoded(0)
