import cv2
import numpy as np
import pytest
from PIL import Image

import facemargin as fm
from facemargin.data.alignment import TEMPLATE_52, align_face
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.source import ArrayImages
from facemargin.detection.detect import DetectedFaces
from facemargin.detection.face import Face, FoundFace
from facemargin.errors import ConfigError, CorruptImageError, DataError, NoFaceError
from tests.photographs import canvas, orl_photograph, put


class FixedDetector:
    """Finds what it is told."""

    def __init__(self, *faces):
        self.faces = list(faces)

    def detect(self, image):
        return self.faces


def at(x, y, scale=1.0):
    landmarks_52 = (TEMPLATE_52 - 56) * scale + (x, y)
    return Face((x - 30 * scale, y - 40 * scale, x + 30 * scale, y + 40 * scale), 0.9, landmarks_52)


def test_aligned_faces_have_their_landmarks_in_the_template():
    for index, degrees in ((0, 0), (120, 30)):
        face = fm.align(orl_photograph(index, scale=1.7, degrees=degrees))
        assert face.shape == (112, 112, 3) and face.dtype == np.uint8
        (again,) = fm.detect(face)
        assert np.linalg.norm(again.landmarks_52 - TEMPLATE_52, axis=1).mean() < 5


def test_largest_or_central():
    photograph = canvas(300, 400, seed=0)
    detector = FixedDetector(at(200, 150, 0.5), at(80, 80))
    for choice, index in (("largest", 1), ("central", 0)):
        expected = align_face(photograph, detector.faces[index].landmarks_52, 64)
        found = fm.align(photograph, choice, 64, detector)
        assert np.abs(found.astype(int) - expected).max() <= 6
    with pytest.raises(ConfigError, match="align returns one face"):
        fm.align(photograph, "all", detector=detector)


def test_no_face_is_an_error_that_says_so():
    nothing = np.zeros((50, 70, 3), np.uint8)
    assert fm.detect(nothing) == []
    with pytest.raises(NoFaceError, match="no face was found \\(70 × 50 pixels\\)"):
        fm.align(nothing)
    source = DetectedFaces(ArrayImages([nothing], "two photographs"))
    with pytest.raises(NoFaceError, match="two photographs: image 0: no face was found") as raised:
        source.read(0)
    assert not isinstance(raised.value, CorruptImageError)  # it can be read


def test_a_source_of_photographs_is_one_of_faces():
    photographs = [orl_photograph(index) for index in (0, 50)]
    source = DetectedFaces(ArrayImages(photographs, "photographs"))
    assert len(source) == 2 and source.name == "photographs"
    for index, photograph in enumerate(photographs):
        np.testing.assert_array_equal(source.read(index), fm.align(photograph))
        assert source.describe(index) == f"photographs: image {index}"


def test_faces_are_found_once_however_often_they_are_read():
    seen = []
    detector = FixedDetector(at(50, 60), at(20, 20, 0.2))
    photographs = list(np.random.default_rng(0).integers(0, 256, (2, 120, 100, 3), dtype=np.uint8))
    source = DetectedFaces(ArrayImages(photographs, "photographs"), detector, watch=lambda *given: seen.append(given))
    first = source.read(1)
    large, _ = detector.faces
    assert source.several == {1: FoundFace(large, 2)}
    detector.faces = []
    np.testing.assert_array_equal(source.read(1), first)
    assert [(index, face) for index, _, face in seen] == [(1, large)] and source.several == {1: FoundFace(large, 2)}
    with pytest.raises(NoFaceError, match="image 0: no face was found"):
        source.read(0)


def test_a_tight_crop_is_a_photograph_too():
    face = EmbeddedFaces(square=False).read(7)
    framed = np.zeros((300, 300, 3), np.uint8)
    put(framed, face, (150, 150))
    alone, in_frame = (fm.align(image)[20:92, 20:92].astype(float) for image in (face, framed))
    assert np.corrcoef(alone.ravel(), in_frame.ravel())[0, 1] > 0.9


def test_photographs_are_taken_by_their_paths(tmp_path):
    detector = FixedDetector(at(50, 60))
    image = np.full((120, 100, 3), 7, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for given in (image, tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(image)):
        assert len(fm.detect(given, detector)) == 1
        np.testing.assert_array_equal(fm.align(given, detector=detector), fm.align(image, detector=detector))
    with pytest.raises(DataError, match=r"float64 .* expected uint8"):
        fm.detect(image / 255, detector)
    with pytest.raises(DataError, match=r"nowhere\.jpg"):
        fm.align("nowhere.jpg", detector=detector)
