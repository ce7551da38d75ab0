"""Image lists as people write them."""

import numpy as np
import pytest

from facemargin.data.formats.image_list import ListedImages
from facemargin.data.open import open_images
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import smooth_image, write_people


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
        ("\ufeffperson_00/0.png 1.000\nperson_00/1.png 1\nperson_01/0.png 002\n", ["1", "2"]),
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
    faces = ListedImages(write(people, "a face.png\t1\nperson_01/0.png\t2\n"))
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))
    assert faces.identity_names == ["1", "2"]


def test_another_root_and_absolute_paths(people, tmp_path):
    list_path = write(people, f"0.png 1\n{people}/person_01/0.png 2\n")
    faces = ListedImages(list_path, people / "person_00")
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))
    np.testing.assert_array_equal(faces.read(1), smooth_image(100))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a.png 1\nb.png\n", r"line 2: expected `path<TAB>label`.*, found 'b.png'"),
        ("\t1\n", "line 1"),
    ],
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


ROWS = [("person_00/0.png", "5"), ("person_00/1.png", "5"), ("person_01/0.png", "9")]


def as_lines(form, rows=ROWS):
    return "".join(form.format(path=path, label=label) + "\n" for path, label in rows)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", as_lines("{path},{label}")),
        ("a.txt", as_lines("{path}, {label}")),
        ("a.CSV", as_lines("{path};{label}")),
        ("a.csv", as_lines('"{path}","{label}"')),
        ("a.csv", "path,label\n" + as_lines("{path},{label}")),
        ("a.csv", "id,Label,split,image\n" + as_lines("7,{label},train,{path}")),
        ("a.csv", as_lines("{path},{label},0.75")),
        ("a.csv", "Bild,Nummer\n" + as_lines("{path},{label}")),
        ("a.txt", "path\tlabel\n" + as_lines("{path}\t{label}")),
        ("a.tsv", "name\tpath\n" + as_lines("{label}\t{path}")),
        ("a.txt", "# a list\n#\n" + as_lines("{path} {label}") + "# person_01/gone.png 9\n"),
        ("a.txt", as_lines('"{path}" {label}')),
        ("a.txt", as_lines('"{path}"\t"{label}"')),
        ("a.txt", as_lines("{label} {path}")),
        ("a.lst", as_lines("3\t{label}\t{path}")),
        ("a.lst", as_lines("3 {label} {path}")),
        ("a.txt", as_lines("{path} {label} 0.5")),
        ("a.txt", as_lines("{path} {label}").replace("/", "\\")),
        ("a.txt", as_lines("{path} {label}").replace("\n", "\r")),
        ("a.txt", "\ufeff" + as_lines("{path} {label}")),
        ("a.lst", as_lines("0\t{label}.000000\t{path}")),
    ],
)
def test_lists_as_others_write_them(people, name, text):
    (people / name).write_bytes(text.encode())
    faces = open_images(people / name)
    assert faces.identity_names == ["5", "9"] and faces.labels.tolist() == [0, 0, 1] and not faces.has_names
    np.testing.assert_array_equal(faces.read(1), smooth_image(1))
    np.testing.assert_array_equal(faces.read(2), smooth_image(100))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_encodings(people, encoding):
    (people / "faces.txt").write_bytes("person_00/0.png\tJosé\nperson_01/0.png\t山田\u3000太郎\n".encode(encoding))
    assert ListedImages(people / "faces.txt").identity_names == ["José", "山田\u3000太郎"]


def test_utf_16_without_its_mark_is_refused(people):
    (people / "faces.txt").write_bytes("person_00/0.png 1\n".encode("utf-16-le"))
    with pytest.raises(DataError, match=r"faces\.txt is not text in UTF-8 .*; save it as UTF-8"):
        ListedImages(people / "faces.txt")


@pytest.mark.parametrize(
    "labels",
    [
        ("1_12", "11_2"), ("1e1", "10"), ("10", "010", "1e1"), ("inf", "nan"), ("Infinity", "1"), ("١٢", "12"),
        ("１", "1"), ("+1", "1"), ("1.5", "1"), ("1.", "1"), ("0x1", "1"), ("9" * 19, "9" * 20), ("²", "2"),
        ("Ann Lee", "Bob Lee"), ("1,0", "10"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("separator", ["\t", " "])
def test_only_digits_are_numbers_and_different_labels_are_different_people(people, labels, separator):
    paths = ["person_00/0.png", "person_00/1.png", "person_01/0.png"][: len(labels)]
    text = "".join(f"{path}{separator}{label}\n" for path, label in zip(paths, labels, strict=True))
    faces = ListedImages(write(people, text))
    assert [faces.identity_names[label] for label in faces.labels] == list(labels) and faces.has_names


def test_numbers_of_64_bits_are_exact(people):
    faces = ListedImages(write(people, f"a.png {2**53}\nb.png {2**53 + 1}\nc.png {2**63 - 1}\n"))
    assert faces.identity_names == [str(2**53), str(2**53 + 1), str(2**63 - 1)] and not faces.has_names


def test_texts_that_are_one_number_are_refused(people):
    with pytest.raises(DataError, match=r"labels '7' and '007' are the same number\. If they are one person"):
        ListedImages(write(people, "person_00/0.png 7\nperson_01/0.png 007\n"))
    assert ListedImages(write(people, "person_00/0.png 7\nperson_01/0.png 7.0\n")).identity_names == ["7"]


def test_numbers_among_names_are_names_and_it_is_said(people, caplog):
    faces = ListedImages(write(people, "person_00/0.png 7\nperson_00/1.png 007\nperson_01/0.png nan\n"))
    assert (
        faces.identity_names == ["007", "7", "nan"]
        and "others are not ('nan'), so all are read as names" in caplog.text
    )


@pytest.mark.parametrize("others", [("3", "4"), ("Ann", "Bob")])
@pytest.mark.parametrize("label", ["-1", "-1.000000", "-7"])
def test_a_label_below_zero_is_no_label(people, caplog, label, others):
    text = f"person_00/0.png {others[0]}\nperson_00/1.png {label}\nperson_01/0.png {others[1]}\n"
    faces = ListedImages(write(people, text))
    assert faces.identity_names == list(others) and faces.labels.tolist() == [0, 1] and faces.num_unlabeled == 1
    np.testing.assert_array_equal(faces.read(1), smooth_image(100))
    assert "because their label is negative, which means an unknown person: 1 of 3" in caplog.text
    with pytest.raises(DataError, match="no image has a label"):
        ListedImages(write(people, f"person_00/0.png {label}\n"))


def test_repeated_images_and_contradictions_are_named(people, caplog):
    assert len(ListedImages(write(people, as_lines("{path} {label}") * 2))) == 6
    assert "listed more than once, which count as often: 3 (person_00/0.png" in caplog.text
    assert "several labels" not in caplog.text
    ListedImages(write(people, as_lines("{path} {label}") + "./person_00//1.png 9\n"))
    assert "images listed under several labels: 1 (person_00/1.png (5, 9))" in caplog.text


def test_an_image_whose_name_begins_with_a_hash_is_no_comment(people):
    (people / "person_00" / "0.png").rename(people / "#1.png")
    faces = ListedImages(write(people, "#1.png 3\n# person_01/0.png 3\nperson_00/1.png 3\n"))
    assert len(faces) == 2
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))


def test_a_guessed_heading_is_named(people, caplog):
    ListedImages(write(people, "Bild\tNummer\n" + as_lines("{path}\t{label}")))
    assert (
        "faces.txt line 1: 'Bild Nummer' is not the path of an image, so the line is read as headings; images are "
        "read from column 1 (Bild), labels from column 2 (Nummer)"
    ) in caplog.text


def test_quoted_fields_hold_commas_and_quotes(people):
    (people / "person_00" / "0.png").rename(people / 'a, "b".png')
    (people / "faces.csv").write_text('path,label\n"a, ""b"".png","Lee, Ann"\nperson_01/0.png,Bob\n')
    faces = ListedImages(people / "faces.csv")
    np.testing.assert_array_equal(faces.read(0), smooth_image(0))
    assert faces.identity_names == ["Bob", "Lee, Ann"]
    (people / "faces.csv").write_text('path,label\n"a.png,1\n')
    with pytest.raises(DataError, match=r"faces\.csv line \d: cannot be read"):
        ListedImages(people / "faces.csv")


def test_a_line_without_a_label_is_named(people):
    with pytest.raises(DataError, match=r"faces\.txt line 2: .*label -1 for an unknown person"):
        ListedImages(write(people, "person_00/0.png\t3\nperson_01/0.png\t\n"))
