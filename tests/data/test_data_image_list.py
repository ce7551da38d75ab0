"""Image lists as people write them."""

import numpy as np
import pytest
from sample_images import smooth_image, write_people

from facemargin.data.image_list import ListedImages
from facemargin.errors import CorruptImageError, DataError


@pytest.fixture
def people(tmp_path):
    write_people(tmp_path, [2, 1])
    return tmp_path


def write(folder, text):
    (folder / "faces.txt").write_bytes(text.encode())
    return folder / "faces.txt"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("person_00/0.png\t5\nperson_00/1.png\t5\nperson_01/0.png\t9\n", ["5", "9"]),
        ("person_00/0.png 5\nperson_00/1.png   5\n\nperson_01/0.png 9", ["5", "9"]),
        ("person_00/0.png\tAnn Lee\r\nperson_00/1.png\tAnn Lee\r\nperson_01/0.png\tBob\r\n", ["Ann Lee", "Bob"]),
        ("\ufeffperson_00/0.png 1.000\nperson_00/1.png 1\nperson_01/0.png 2e0\n", ["1", "2"]),
        ("0\t5.0\tperson_00/0.png\n1\t5.0\tperson_00/1.png\n2\t9.0\tperson_01/0.png\n", ["5", "9"]),
        ("0\t5\t0.25\tperson_00/0.png\n1\t5\t1\tperson_00/1.png\n2\t9\t0\tperson_01/0.png\n", ["5", "9"]),
        ("1\tperson_00/0.png\t5\n1\tperson_00/1.png\t5\n1\tperson_01/0.png\t9\n", ["5", "9"]),
        ("1\tperson_00/0.png\t5\t3\t4\t5\t6\n1\tperson_00/1.png\t5\n1\tperson_01/0.png\t9\n", ["5", "9"]),
    ],
)
def test_lists(people, text, names):
    faces = ListedImages(write(people, text))
    assert faces.labels.tolist() == [0, 0, 1] and faces.identity_names == names
    assert faces.has_names == (not names[0].isdecimal())
    np.testing.assert_array_equal(faces.read(1), smooth_image(1))
    assert faces.describe(2) == str(people / "person_01" / "0.png")
    assert faces.read_encoded(0) == (people / "person_00" / "0.png").read_bytes()


def test_names_with_spaces_where_tabs_separate(people):
    (people / "person_00" / "0.png").rename(people / "a face.png")
    faces = ListedImages(write(people, "a face.png\t-1\nperson_01/0.png\t2\n"))
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))
    assert faces.identity_names == ["-1", "2"]


def test_another_root_and_absolute_paths(people, tmp_path):
    list_path = write(people, f"0.png 1\n{people}/person_01/0.png 2\n")
    faces = ListedImages(list_path, people / "person_00")
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))
    np.testing.assert_array_equal(faces.read(1), smooth_image(100))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("a.png 1\nb.png\n", r"line 2: expected `path<TAB>label`, found 'b.png'"), ("\t1\n", "line 1")],
)
def test_lines_that_are_none(people, text, message):
    with pytest.raises(DataError, match=rf"faces\.txt.*{message}"):
        ListedImages(write(people, text))


def test_a_missing_list_and_missing_or_impossible_images(people):
    with pytest.raises(DataError, match=r"none\.txt: cannot be read: No such file"):
        ListedImages(people / "none.txt")
    faces = ListedImages(write(people, "gone.png 1\n\0.png 1\n"))
    for index, message in ((0, r"gone\.png: cannot be read: No such file"), (1, "cannot be read: embedded null byte")):
        with pytest.raises(CorruptImageError, match=message):
            faces.read(index)
