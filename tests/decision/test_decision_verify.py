from dataclasses import replace

import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.fingerprint import fingerprint
from facemargin.decision.verify import decide
from facemargin.errors import ConfigError, DataError, NoFaceError
from facemargin.evaluation import Embeddings
from facemargin.models.model import Model
from tests.models.tiny_models import tiny_model, tiny_recognizer
from tests.photographs import orl_photograph

POINT = Threshold(0.01, 0.5, 0.01, 10, 0.1, 2.0, 0.02)


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def faces():
    images = EmbeddedFaces(range(1, 3))
    return [images.read(index) for index in range(len(images))]


def calibration_of(model, point, views="flip"):
    return Calibration("p", 1000, 100, "norm", views, "percentile 1", fingerprint(model, views), (point,))


def test_decisions_by_threshold_and_floor():
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.5, np.sqrt(0.75)]], np.float32)
    quality = np.array([2.0, 5.0, 1.9, 3.0], np.float32)
    embeddings = Embeddings(vectors, quality, quality)
    pairs = np.array([[0, 1], [0, 3], [1, 2], [2, 0], [3, 3]])
    results = decide(embeddings, pairs, replace(POINT, threshold=0.6))
    assert [result.decision for result in results] == [
        "same", "different", "too poor to decide", "too poor to decide", "same"
    ]  # fmt: skip
    assert [result.score for result in results] == pytest.approx([0.8, 0.5, 0.6, 0, 1], abs=1e-6)
    assert (results[2].quality_a, results[2].quality_b) == pytest.approx((5.0, 1.9))
    for result in decide(embeddings, pairs, None):
        assert result.decision is None and result.threshold is None


def test_a_score_at_the_threshold_is_accepted_and_a_quality_at_the_floor_is_enough():
    embeddings = Embeddings(*(np.array(x, np.float32) for x in ([[1, 0], [0.5, 0]], [2, 2], [2, 2])))
    (result,) = decide(embeddings, np.array([[0, 1]]), POINT)
    assert (result.score, result.decision) == (0.5, "same")


def test_two_faces(model, faces):
    embeddings = model.embed([faces[0], faces[1]])
    result = fm.verify(model, faces[0], faces[1])
    assert result.score == pytest.approx(float(embeddings.vectors[0] @ embeddings.vectors[1]), abs=1e-5)
    assert (result.quality_a, result.quality_b) == pytest.approx(tuple(embeddings.quality), rel=1e-4)
    assert result.decision is None
    for floor, threshold, decision in (
        (0, result.score - 0.01, "same"),
        (0, result.score + 0.01, "different"),
        (result.quality_a + result.quality_b, -1, "too poor to decide"),
    ):
        calibration = calibration_of(model, replace(POINT, threshold=threshold, quality_floor=floor))
        assert fm.verify(model, faces[0], faces[1], calibration, fmr=0.01).decision == decision


def test_the_views_are_those_of_the_calibration(model, faces):
    expected = model.embed(faces[:2], views="one")
    result = fm.verify(model, *faces[:2], calibration_of(model, POINT, "one"), fmr=0.01)
    assert result.score == pytest.approx(float(expected.vectors[0] @ expected.vectors[1]), abs=1e-5)


def test_photographs(model):
    first, second = orl_photograph(0, scale=1.3, degrees=15), orl_photograph(1)
    expected = fm.verify(model, fm.align(first), fm.align(second))
    found = fm.verify(model, first, second, detector="centerface")
    assert found == expected
    with pytest.raises(NoFaceError, match="no face was found"):
        fm.verify(model, first, np.zeros((60, 60, 3), np.uint8), detector="centerface")


def test_refusals(model, faces):
    other = Model(tiny_recognizer(), replace(model.info, color_order="BGR"))
    with pytest.raises(ConfigError, match="calibration belongs to another model"):
        fm.verify(other, *faces[:2], calibration_of(model, POINT), fmr=0.01)
    with pytest.raises(ConfigError, match="cannot be measured"):
        fm.verify(model, *faces[:2], calibration_of(model, POINT), fmr=1e-6)
    damaged = tiny_recognizer()
    next(damaged.parameters()).data.fill_(float("nan"))
    with pytest.raises(DataError, match="not finite"):
        fm.verify(Model(damaged, model.info), *faces[:2])
    with pytest.raises(
        ConfigError, match=r"the model is 'runs/mine', expected a model, as in verify\(fm\.load\(path\)"
    ):
        fm.verify("runs/mine", *faces[:2])


def test_faces_of_another_detector_than_the_thresholds_are_doubted(model, faces, caplog):
    calibration = replace(calibration_of(model, POINT), detector="toy", detector_settings={})
    photograph = orl_photograph(0)

    class Toy:
        name, settings = "toy", {}

        def detect(self, image):
            return fm.detect(image)

    fm.verify(model, photograph, photograph, calibration, fmr=0.01, detector=Toy())
    assert caplog.text == ""
    fm.verify(model, faces[0], faces[1], calibration, fmr=0.01)
    assert "faces that toy found in photographs, but these images are used as they are" in caplog.text
    fm.verify(model, photograph, photograph, calibration, fmr=0.01, detector="centerface")
    assert "measured on faces that toy found, but centerface finds these faces" in caplog.text
