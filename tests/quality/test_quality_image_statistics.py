"""Statistics of a face's picture against loops, and what the gate makes of pictures."""

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE
from facemargin.quality.degradation_kinds import degrade_by_kind
from facemargin.quality.face_pose import FACE_53, face_pose
from facemargin.quality.not_faces import not_a_face
from tests.photographs import orl_photograph

FACES = [cv2.resize(fm.open_images("orl").read(10 * person), (112, 112)) for person in range(8)]
STATISTICS = [fm.image_statistics(face) for face in FACES]


def codes(statistics, gate=None):
    return [reason.code for reason in statistics.reasons(gate)]


def test_every_statistic_is_that_of_loops():
    image = FACES[0]
    grey = np.array([[0.299 * r + 0.587 * g + 0.114 * b for r, g, b in row] for row in image.astype(np.float64)])
    inside = [(y, x) for y in range(36, 104) for x in range(26, 86)]
    mask = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    responses = [
        abs(sum(mask[i][j] * grey[y + i - 1, x + j - 1] for i in range(3) for j in range(3))) for y, x in inside
    ]
    values = np.array([grey[place] for place in inside])
    found = fm.image_statistics(image)
    assert found.noise == pytest.approx(np.median(responses) / (6 * 0.6745))
    assert found.brightness == pytest.approx(values.mean()) and found.contrast == pytest.approx(values.std())
    assert found.clipped == np.mean((values <= 2) | (values >= 253))
    energies = []
    for small, large in ((0.7, 1.4), (1.4, 2.8)):
        offsets = np.arange(-20, 21)
        kernel = 0
        for sign, deviation in ((1, small), (-1, large)):
            line = np.exp(-(offsets**2) / (2 * deviation**2))
            kernel = kernel + sign * np.outer(line, line) / line.sum() ** 2
        padded = np.pad(grey, 20, mode="reflect")
        details = [(padded[y : y + 41, x : x + 41] * kernel).sum() for y, x in inside]
        energies.append(np.mean(np.square(details)) - (kernel**2).sum() * found.noise**2)
    # OpenCV cuts its Gaussians off at four standard deviations.
    assert found.sharpness == pytest.approx(np.sqrt(energies[0] / energies[1]), rel=5e-3)


def test_clean_faces_pass_and_the_quality_is_the_smallest_margin():
    assert all(codes(statistics) == [] and 0 <= statistics.quality() < 1 for statistics in STATISTICS)
    found = STATISTICS[0]
    gate = fm.QualityGate(min_contrast=found.contrast * 2)
    assert found.quality(gate) == pytest.approx(-0.5) and codes(found, gate) == ["low_contrast"]
    assert codes(found, fm.QualityGate(min_contrast=found.contrast)) == []


@pytest.mark.parametrize(
    ("kind", "strength", "expected"),
    [("blur", 0.5, {"blurred"}), ("downscale", 0.75, {"blurred"}), ("noise", 0.25, {"noisy"}), ("brightness", 1, None)],
)
def test_degraded_faces_fail_for_the_right_reason(kind, strength, expected):
    for index, face in enumerate(FACES):
        statistics = fm.image_statistics(degrade_by_kind(face, kind, strength, 0, index))
        found = set(codes(statistics))
        assert found == expected if expected else found & {"too_dark", "too_bright", "low_contrast"}
        assert statistics.quality() < 0


def test_noise_does_not_count_as_sharpness():
    for index, face in enumerate(FACES):
        blurred = degrade_by_kind(face, "blur", 0.5, 0, index)
        noisy = degrade_by_kind(blurred, "noise", 0.25, 0, index)
        # Laplacian variance and the like rise by more than ten times.
        assert fm.image_statistics(noisy).sharpness < STATISTICS[index].sharpness
        assert fm.image_statistics(degrade_by_kind(face, "noise", 0.5, 0, index)).noise == pytest.approx(16.7, rel=0.1)


@pytest.mark.parametrize(
    ("kind", "code"), [("uniform noise", "noisy"), ("Gaussian noise", "noisy"), ("flat color", "low_contrast")]
)
def test_pictures_without_a_face_fail(kind, code):
    for index in range(10):
        assert code in codes(fm.image_statistics(not_a_face(kind, FACES[0], 0, index)))


def turned(yaw, pitch, roll):
    """The landmarks of the model, turned by angles in degrees and seen from far away."""
    y, p, r = np.radians([yaw, pitch, roll])
    around_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    around_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    around_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return 80 * (FACE_53 @ (around_z @ around_x @ around_y).T)[:, :2] + (100, 70)


@pytest.mark.parametrize("yaw", range(-45, 46, 15))
@pytest.mark.parametrize("pitch", [-30, 0, 30])
def test_the_pose_of_a_turned_model(yaw, pitch):
    found = face_pose(turned(yaw, pitch, 0))
    # Of a rotation about y and then x, n = (sin yaw, −sin pitch · cos yaw, cos pitch · cos yaw).
    assert found.yaw == pytest.approx(yaw, abs=1e-6) and found.pitch == pytest.approx(pitch, abs=1e-6)
    assert face_pose(turned(0, 0, yaw)).roll == pytest.approx(yaw)


def test_the_pose_of_other_faces_is_near():
    generator = np.random.default_rng(0)
    for yaw in range(-45, 46, 15):
        errors = []
        for _ in range(100):
            other = turned(yaw, 0, 0) + 80 * generator.normal(0, 0.02, (5, 2))
            errors.append(abs(face_pose(other).yaw - yaw))
        assert np.median(errors) < 5


def test_the_template_looks_into_the_camera():
    assert np.abs(face_pose(TEMPLATE_52)).max() < 0.5


def test_a_photograph_with_landmarks():
    photograph = orl_photograph(0, 1.0, 20, shape=(192, 224))
    (face,) = fm.detect(photograph)
    found = fm.image_statistics(photograph, face.landmarks_52, face.score)
    eyes = face.landmarks_52[:2]
    assert found.eye_distance == pytest.approx(np.hypot(*(eyes[1] - eyes[0]))) and found.detection_score == face.score
    assert abs(abs(found.roll) - 20) < 6 and codes(found) == []
    assert codes(found, fm.QualityGate(max_roll=5, min_eye_distance=100, min_score=0.99)) == [
        "too_small", "tilted", "uncertain_detection",
    ]  # fmt: skip
    (reason,) = found.reasons(fm.QualityGate(min_eye_distance=100))
    assert reason.words.startswith("too small: ") and reason.words.endswith(
        "pixels between the eyes, expected at least 100"
    )


def test_the_way_a_face_looks_is_told():
    for pitch, way in ((40, "up"), (-40, "down")):
        (reason,) = fm.image_statistics(FACES[0], turned(0, pitch, 0) * 0.4 + 15).reasons()[-1:]
        assert reason.words == f"looking up or down: 40° {way}, expected at most 30°"


def test_what_lies_beyond_the_photograph_is_not_dark():
    face = FACES[0]
    whole, cut = fm.image_statistics(face, TEMPLATE_52), fm.image_statistics(face[:, 56:], TEMPLATE_52 - (56, 0))
    assert cut.clipped == 0 and cut.brightness == pytest.approx(whole.brightness, rel=0.3)
    assert face.shape[0] == TEMPLATE_SIDE and whole.brightness == STATISTICS[0].brightness


def test_mistakes():
    with pytest.raises(fm.DataError, match="landmarks have shape"):
        fm.image_statistics(FACES[0], TEMPLATE_52[:3])
    with pytest.raises(fm.DataError, match="landmarks lie outside the image of 112 × 112 pixels"):
        fm.image_statistics(FACES[0], TEMPLATE_52 + 500)
    with pytest.raises(fm.ConfigError, match="max_noise is -1, expected a number above 0"):
        fm.QualityGate(max_noise=-1)
    with pytest.raises(fm.ConfigError, match="min_score is 1, expected a number between 0 and 1"):
        fm.QualityGate(min_score=1)
    with pytest.raises(fm.ConfigError, match=r"min_brightness is 230, expected less than max_brightness, 220\.0"):
        fm.QualityGate(min_brightness=230)
    with pytest.raises(fm.DataError, match="the detector's score is nan, expected a finite number"):
        fm.image_statistics(FACES[0], TEMPLATE_52, float("nan"))
