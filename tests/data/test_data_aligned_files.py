import cv2
import numpy as np
import pytest

from facemargin.data.aligned_files import AlignedFiles
from facemargin.data.alignment import TEMPLATE_52, align_face
from facemargin.data.formats.image_files import read_image_file
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import CorruptImageError, DataError


def test_files_are_aligned_each_by_its_own_landmarks(tmp_path):
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), EmbeddedFaces([31], square=True).read(0))
    landmarks = np.stack([TEMPLATE_52 * 0.8, TEMPLATE_52 * 0.6 + 10]).astype(np.float32)
    files = AlignedFiles(tmp_path, ["a.png", "b.png"], landmarks)
    for index, name in enumerate("ab"):
        expected = align_face(read_image_file(tmp_path / f"{name}.png"), landmarks[index])
        np.testing.assert_array_equal(files.read(index), expected)
    assert not np.array_equal(files.read(0), files.read(1))
    assert files.alignment_key() != AlignedFiles(tmp_path, ["a.png", "b.png"], landmarks[::-1].copy()).alignment_key()


def test_a_face_that_cannot_be_aligned_names_its_file(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    files = AlignedFiles(tmp_path, ["a.png", "none.png"], np.full((2, 5, 2), np.nan, np.float32))
    with pytest.raises(CorruptImageError, match=r"a.png: landmarks are not finite"):
        files.read(0)
    with pytest.raises(CorruptImageError, match=r"none.png: cannot be read"):
        files.read(1)


def test_landmarks_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"landmarks have shape \(1, 5, 2\) for 2 images"):
        AlignedFiles(tmp_path, ["a.png", "b.png"], np.ones((1, 5, 2), np.float32))
