import pytest

from facemargin.data.open import open_verification
from facemargin.errors import DataError
from facemargin.features.groups_file import GroupsFile


@pytest.fixture(scope="module")
def pairs():
    return open_verification("orl:1-3")


def written(tmp_path, text):
    (tmp_path / "groups.csv").write_text(text, encoding="utf-8")
    return GroupsFile(tmp_path / "groups.csv")


def test_a_line_for_each_person(tmp_path, pairs):
    file = written(tmp_path, "person,sex,age band\ns1,f,18-30\ns2,,31-59\ns3,m,18-30\ns9,m,\n")
    found = file.of(pairs)
    assert found == {
        "sex": ["f"] * 10 + [""] * 10 + ["m"] * 10,
        "age band": ["18-30"] * 10 + ["31-59"] * 10 + ["18-30"] * 10,
    }
    assert file.unused([pairs]) == ["s9"]


def test_a_line_for_each_image_in_any_order(tmp_path, pairs):
    names = [pairs.images.describe(number) for number in range(30)]
    lines = [f"{name}\tcam{number % 2}" for number, name in enumerate(names)]
    found = written(tmp_path, "Image\tcamera\n" + "\n".join(lines[::-1]) + "\n").of(pairs)
    assert found == {"camera": [f"cam{number % 2}" for number in range(30)]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"begins with ''; expected a line of headings, image or person first"),
        ("s1,f\ns2,m\n", r"begins with 's1,f'; expected a line of headings"),
        ("person\ns1\n", "expected a line of headings"),
        ("person,sex\n", "a line for every image or person"),
        ("person,sex,sex\ns1,f,f\n", "has 2 columns called sex, expected one"),
        ("person,\ns1,f\n", "a column without a name"),
        ("person,sex\ns1,f\ns2\n", "line 3: 1 value, expected 2: person,sex"),
        ("person,sex\ns1,f,x\n", "line 2: 3 values, expected 2"),
        ("person,sex\n,f\n", "line 2: no person, expected 2"),
        ("person,sex\ns1,f\ns2,m\ns1,m\n", "line 4: s1 has a line already, line 2; expected one for each person"),
        ('person,sex\n"s1,f\n', "cannot be read as a table of groups"),
    ],
)
def test_a_malformed_file_is_refused_by_its_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        written(tmp_path, text)
    assert "groups.csv" in str(caught.value)


def test_people_and_images_without_a_line_are_named(tmp_path, pairs):
    with pytest.raises(DataError, match=r"has no line for 2 of 3 people of orl:1-3 \(s2, s3\): write one for each"):
        written(tmp_path, "person,sex\ns1,f\n").of(pairs)
    first = pairs.images.describe(0)
    with pytest.raises(DataError, match=r"holds no group of .* \(29 of 30 images missing\)"):
        written(tmp_path, f"image,sex\n{first},f\n").of(pairs)
    with pytest.raises(DataError, match="occurs 2 times"):
        written(tmp_path, f"image,sex\n{first},f\n{first},m\n")
