import pytest

from facemargin.data.pairs.unlabeled import read_path_pairs
from facemargin.errors import DataError


def pairs_of(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read_path_pairs(path)
    return [tuple(found.names[index] for index in pair) for pair in found.images_K2], found.names


@pytest.mark.parametrize(
    "content",
    [
        "a.jpg,b c.jpg\na.jpg,d.jpg\n",
        "\ufeffpath1,path2\r\na.jpg,b c.jpg\r\n\r\na.jpg,d.jpg",
        "Same,path2,note,PATH1\n1,b c.jpg,x,a.jpg\n0,d.jpg,,a.jpg\n",
        '"a.jpg", b c.jpg ,further,columns\na.jpg,d.jpg\n',
    ],
)
def test_pairs_with_and_without_a_header(tmp_path, content):
    pairs, names = pairs_of(tmp_path / "p.csv", content)
    assert pairs == [("a.jpg", "b c.jpg"), ("a.jpg", "d.jpg")] and names == ["a.jpg", "b c.jpg", "d.jpg"]


def test_names_that_are_not_utf8(tmp_path):
    pairs, _ = pairs_of(tmp_path / "p.csv", b"na\xffme.jpg,b.jpg\n")
    assert pairs == [("na\udcffme.jpg", "b.jpg")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "lists no pairs"),
        ("path1,path2\n", "lists no pairs"),
        ("a.jpg,b.jpg\nc.jpg\n", "line 2: expected `path1,path2`"),
        ("a.jpg,\n", "line 1: expected"),
        ("a\0.jpg,b.jpg\n", "p.csv"),
        ('"a.jpg,b.jpg\n', "cannot be read as pairs"),
    ],
)
def test_mistakes_are_named(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        pairs_of(tmp_path / "p.csv", content)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path, tmp_path / "none.csv"):
        with pytest.raises(DataError, match="cannot be read as pairs"):
            read_path_pairs(path)
