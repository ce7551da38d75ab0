"""Folders of one folder per person."""

import pickle

import numpy as np
import pytest

from facemargin.data.formats.folder import FolderImages
from facemargin.data.formats.image_files import ImageFiles
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image, write_people


def test_people_and_images_are_sorted_and_labelled(tmp_path):
    write_people(tmp_path, [2, 1, 3])
    faces = FolderImages(tmp_path)
    assert faces.identity_names == ["person_00", "person_01", "person_02"] and faces.has_names
    np.testing.assert_array_equal(faces.labels, [0, 0, 1, 2, 2, 2])
    assert faces.describe(4) == str(tmp_path / "person_02" / "1.png")
    np.testing.assert_array_equal(faces.read(4), smooth_image(201))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".pgm", ".JPG"])
def test_every_suffix_is_read(tmp_path, suffix):
    write_people(tmp_path, [1], suffix)
    assert FolderImages(tmp_path).read(0).shape == (40, 40, 3)


def test_other_files_and_empty_folders_are_no_people(tmp_path):
    write_people(tmp_path, [1])
    (tmp_path / "person_00" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    (tmp_path / "stray.png").write_bytes(encode(smooth_image(0), ".png"))
    assert FolderImages(tmp_path).identity_names == ["person_00"]


def test_numbered_folders_name_nobody(tmp_path):
    write_people(tmp_path, [1, 1])
    for number in range(2):
        (tmp_path / f"person_0{number}").rename(tmp_path / str(number))
    assert not FolderImages(tmp_path).has_names


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    write_people(tmp_path, [1, 1])
    (tmp_path / "person_00" / "0.png").write_bytes(b"garbage")
    faces = FolderImages(tmp_path)
    assert faces.read(1).shape == (40, 40, 3)
    with pytest.raises(CorruptImageError, match=r"person_00/0\.png"):
        faces.read(0)


def test_folders_without_images_say_what_was_expected(tmp_path):
    with pytest.raises(DataError, match=r"missing is not a folder"):
        FolderImages(tmp_path / "missing")
    with pytest.raises(DataError, match=r"has no folders with images.*identity/image\.jpg"):
        FolderImages(tmp_path)
    (tmp_path / "face.png").write_bytes(encode(smooth_image(0), ".png"))
    with pytest.raises(DataError, match=r"has no folders with images"):
        FolderImages(tmp_path)


def test_a_file_that_vanishes_is_a_corrupt_image(tmp_path):
    with pytest.raises(CorruptImageError, match=r"gone\.jpg: cannot be read: No such file"):
        ImageFiles(tmp_path, ["gone.jpg"]).read(0)


def test_survives_pickling(tmp_path):
    write_people(tmp_path, [1])
    copy = pickle.loads(pickle.dumps(FolderImages(tmp_path)))
    np.testing.assert_array_equal(copy.read(0), smooth_image(0))


def test_a_folder_of_people_unknown_is_left_out(tmp_path, caplog):
    write_people(tmp_path, [2, 1])
    (tmp_path / "person_01").rename(tmp_path / "-1")
    faces = FolderImages(tmp_path)
    assert len(faces) == 2 and faces.num_unlabeled == 1 and faces.identity_names == ["person_00"]
    assert "1 of 3" in caplog.text
