"""IJB's lists: a first line that is no heading counts; only plain digits are numbers."""

import pytest

from facemargin.errors import DataError
from facemargin.evaluation.protocols.ijb_files import read_images, read_landmarks, read_subjects


def write(tmp_path, text):
    path = tmp_path / "list.csv"
    path.write_text(text)
    return path


def test_a_first_line_of_numbers_is_no_heading(tmp_path):
    assert read_subjects(write(tmp_path, "1,7,a.jpg\n2,8,b.jpg\n")) == {1: 7, 2: 8}
    assert read_subjects(write(tmp_path, "TEMPLATE_ID,SUBJECT_ID,FILENAME\n1,7,a.jpg\n")) == {1: 7}
    with pytest.raises(DataError, match="is empty"):
        read_subjects(write(tmp_path, "TEMPLATE_ID,SUBJECT_ID\n"))


@pytest.mark.parametrize("number", ["١٢", "1_2", "31.0", "1e1", "-1", ""])
def test_other_texts_are_no_numbers(tmp_path, number):
    with pytest.raises(DataError, match="line 2"):
        read_subjects(write(tmp_path, f"1,7\n{number},8\n"))
    with pytest.raises(DataError, match="line 1"):
        read_images(write(tmp_path, f"a.jpg 1 {number}\n"))


@pytest.mark.parametrize("number", ["1_0", "nan", "inf", "١", "1e99", "x"])
def test_landmarks_are_plain_numbers(tmp_path, number):
    assert read_landmarks(write(tmp_path, f"a.jpg {'1.5e1 ' * 11}\n"), ["a.jpg"])[1].tolist() == [15.0]
    with pytest.raises(DataError, match="line 1"):
        read_landmarks(write(tmp_path, f"a.jpg {'1.5 ' * 10}{number}\n"), ["a.jpg"])
