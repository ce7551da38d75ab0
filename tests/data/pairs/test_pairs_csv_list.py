"""Text files of pairs of images."""

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.data.pairs.csv_list import load_pairs_list
from facemargin.errors import DataError
from tests.data.sample_images import encode, smooth_image


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "faces").mkdir()
    for seed, name in enumerate(("a.png", "b c.png", "d,e.png")):
        (tmp_path / "faces" / name).write_bytes(encode(smooth_image(seed), ".png"))
    return tmp_path


def load(folder, text, name="mine.txt"):
    (folder / name).write_text(text, encoding="utf-8")
    return load_pairs_list(folder / name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mine.tsv", "faces/a.png\tfaces/b c.png\t1\nfaces/a.png\tfaces/d,e.png\t0\n"),
        ("mine.csv", 'faces/a.png,faces/b c.png,1\r\n\r\nfaces/a.png,"faces/d,e.png",0\r\n'),
        ("mine.csv", 'path1, path2, same\nfaces/a.png, faces/b c.png, true\nfaces/a.png,"faces/d,e.png",False'),
        ("mine.csv", '\ufeffSame,Path2,Path1\ngenuine,faces/b c.png,faces/a.png\n0,"faces/d,e.png",faces/a.png'),
    ],
)
def test_pairs_by_tabs_and_commas(folder, name, text):
    pairs = load(folder, text, name)
    assert len(pairs) == 2 and len(pairs.images) == 3 and pairs.name == "mine"
    np.testing.assert_array_equal(pairs.same_K, [True, False])
    np.testing.assert_array_equal([pairs.first_K, pairs.second_K], [[0, 0], [1, 2]])
    assert pairs.folds_K is None and pairs.identities_N is None and pairs.identity_names is None
    for image in range(3):
        np.testing.assert_array_equal(pairs.images.read(image), smooth_image(image))


def test_pairs_by_spaces_and_absolute_paths(folder):
    other = folder / "faces" / "a.png"
    pairs = load(folder, f"faces/a.png   {other} same\n")
    assert pairs.same_K.all() and pairs.images.describe(1) == str(other)


def test_folds_and_people(folder):
    pairs = load(folder, "faces/a.png\tfaces/b c.png\t1\t3\nfaces/a.png\tfaces/d,e.png\t0\t7\n")
    np.testing.assert_array_equal(pairs.folds_K, [3, 7])
    header = "path1\tpath2\tsame\tfold\tperson1\tperson2\n"
    rows = "faces/a.png\tfaces/b c.png\t1\t3\tZoe\tZoe\nfaces/a.png\tfaces/d,e.png\t0\t7\tZoe\tAnn Lee\n"
    pairs = load(folder, header + rows)
    np.testing.assert_array_equal(pairs.identities_N, [1, 1, 0])
    np.testing.assert_array_equal(pairs.folds_K, [3, 7])
    assert pairs.identity_names == ["Ann Lee", "Zoe"]


def test_a_folder_with_a_list_and_the_list_itself(folder):
    load(folder, "faces/a.png faces/a.png 1\n", "pairs.txt")
    for location in (folder, folder / "pairs.txt"):
        pairs = open_verification(location)
        assert len(pairs) == 1 and pairs.name == folder.name
    (folder / "pairs.txt").rename(folder / "other.tsv")
    assert open_verification(folder / "other.tsv").name == "other"
    (folder / "other.tsv").rename(folder / "pairs.csv")
    assert len(open_verification(folder)) == 1


GOOD = "faces/a.png\tfaces/a.png\t1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no pairs"),
        ("\n \n", "lists no pairs"),
        ("path1,path2,same\n", "lists no pairs"),
        ("faces/a.png faces/a.png", r"line 1: 2 columns, expected 3"),
        (GOOD + "faces/a.png\tfaces/a.png\t1\t2\n", r"line 2: 4 columns, expected 3: path1, path2, same"),
        (GOOD + "\nfaces/a.png\tfaces/a.png\t2\n", r"line 3: label '2', expected 1 for the same person or 0"),
        (GOOD + "\tfaces/a.png\t1\n", r"line 2: a path is empty"),
        ('a,b,1\n"faces/a.png,b,1\n', r"line 2: .* cannot be read"),
        (
            GOOD + "gone.png\tfaces/lost.png\t1\n",
            r"images of the pairs are missing: 2 of 3 \(gone\.png, faces/lost\.png\)$",
        ),
        (GOOD + "\0\tfaces/a.png\t1\n", r"images of the pairs are missing: 1 of 2 "),
        ("path1,path2,same,age\na,b,1,3\n", r"line 1: columns path1, path2, same, age; expected"),
        ("path1,path2,same,same\na,b,1,1\n", r"line 1: columns"),
        ("path1,path2,same,person1\na,b,1,c\n", r"line 1: columns"),
        ("path1,path2,same,fold\na,b,1,-1\n", r"line 2: fold '-1'"),
        ("path1,path2,same,fold\na,b,1,10001\n", r"line 2: fold '10001'"),
        ("path1,path2,same,person1,person2\na,b,1,x,x\na,b,1,y,x\n", r"line 3: a shows y, but x on another line"),
        ("a" * 10**6, r"line 1: 1 column"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(folder, text, message):
    with pytest.raises(DataError, match=rf"(mine\.txt|{folder.name}).*{message}") as refusal:
        load(folder, text)
    assert len(str(refusal.value)) < 600


def test_bytes_of_any_kind_are_read_or_refused(folder):
    random = np.random.default_rng(0)
    for number in range(200):
        content = bytearray(GOOD.encode() * 5)
        for place in random.integers(len(content), size=random.integers(1, 5)):
            content[place] = random.integers(256) if number % 2 else random.choice(list(b'\t\n\r,"01 \0'))
        (folder / "pairs.txt").write_bytes(content)
        try:
            open_verification(folder / "pairs.txt")
        except DataError as error:
            assert folder.name in str(error)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.csv: cannot be read"):
        load_pairs_list(tmp_path / "gone.csv")


def test_a_path_that_is_too_long_is_missing(folder):
    with pytest.raises(DataError, match=r"images of the pairs are missing: 1 of 2 \(x{100}"):
        load(folder, f"faces/a.png {'x' * 5000} 1\n")
