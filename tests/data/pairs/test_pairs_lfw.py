"""LFW's pairs.txt."""

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.data.pairs.lfw import load_lfw_pairs
from facemargin.errors import DataError
from tests.data.sample_images import encode, smooth_image

LINES = ["2\t1", "Ann_Lee\t1\t2", "Ann_Lee\t1\tBob\t1", "Bob\t1\t2", "Bob\t2\tAnn_Lee\t2"]


@pytest.fixture
def lfw(tmp_path):
    for person in ("Ann_Lee", "Bob"):
        (tmp_path / "images" / person).mkdir(parents=True)
        for number in (1, 2):
            path = tmp_path / "images" / person / f"{person}_{number:04d}.jpg"
            path.write_bytes(encode(smooth_image(number)))
    return tmp_path


def load(lfw, lines):
    (lfw / "pairs.txt").write_text("\n".join(lines) + "\n")
    return load_lfw_pairs(lfw / "pairs.txt", lfw / "images")


def test_pairs_folds_and_identities(lfw):
    pairs = load(lfw, LINES)
    described = [
        tuple(pairs.images.describe(index)[-8:-4] for index in pair)
        for pair in zip(pairs.first_K.tolist(), pairs.second_K.tolist(), strict=True)
    ]
    assert described == [("0001", "0002"), ("0001", "0001"), ("0001", "0002"), ("0002", "0002")]
    np.testing.assert_array_equal(pairs.same_K, [True, False, True, False])
    np.testing.assert_array_equal(pairs.folds_K, [0, 0, 1, 1])
    np.testing.assert_array_equal(pairs.identities_N[pairs.first_K] == pairs.identities_N[pairs.second_K], pairs.same_K)
    assert pairs.identity_names == ["Ann_Lee", "Bob"] and len(pairs.images) == 4
    assert pairs.images.read(0).shape == (40, 40, 3)


def test_a_development_list_is_one_fold(lfw):
    pairs = load(lfw, ["1", *LINES[1:3]])
    np.testing.assert_array_equal(pairs.folds_K, [0, 0])


@pytest.mark.parametrize("bad", ["Bob\t1", "Bob\tone\t2", "Bob\t1\t2\t3\t4", "Bob\t1\tAnn_Lee\t-2"])
def test_a_bad_line_is_named_by_its_number(lfw, bad):
    with pytest.raises(DataError, match=r"pairs\.txt line 4: .* is not a pair"):
        load(lfw, [*LINES[:3], bad, LINES[4]])


@pytest.mark.parametrize("header", ["", "LFW", "10\t300\t2", "0\t300", "-1"])
def test_a_bad_header_is_named(lfw, header):
    with pytest.raises(DataError, match=r"pairs\.txt line 1"):
        load(lfw, [header, *LINES[1:]])


def test_fewer_pairs_than_the_header_says(lfw):
    with pytest.raises(DataError, match=r"3 pairs, but the header states 2 folds of 2 × 1 pair"):
        load(lfw, LINES[:-1])


def test_missing_images_are_counted_and_named(lfw):
    (lfw / "images" / "Bob" / "Bob_0002.jpg").unlink()
    with pytest.raises(DataError, match=r"images of the pairs are missing: 1 of 4 \(Bob/Bob_0002\.jpg\)$"):
        load(lfw, LINES)


def test_images_of_other_kinds(lfw):
    for suffix in (".png", ".JPEG"):
        for path in list((lfw / "images").rglob("*_0001.*")):
            path.rename(path.with_suffix(suffix))
        pairs = load(lfw, LINES)
        assert [pairs.images.describe(index).rpartition(".")[2] for index in range(4)] == [suffix[1:], "jpg"] * 2
        assert pairs.images.read(0).shape == (40, 40, 3)


def test_names_with_spaces_are_separated_by_tabs(lfw):
    (lfw / "images" / "Bob").rename(lfw / "images" / "Bob van Dyk")
    for path in (lfw / "images" / "Bob van Dyk").iterdir():
        path.rename(path.with_name(path.name.replace("Bob", "Bob van Dyk")))
    assert load(lfw, [line.replace("Bob", "Bob van Dyk") for line in LINES]).identity_names == [
        "Ann_Lee",
        "Bob van Dyk",
    ]
    with pytest.raises(DataError, match=r"line 3: .* is not a pair"):
        load(lfw, [line.replace("Bob", "Bob van Dyk").replace("\t", " ") for line in LINES])


def test_the_set_is_called_by_its_folder_or_file(lfw):
    assert load(lfw, LINES).name == lfw.name
    (lfw / "pairs.txt").rename(lfw / "xqlfw_pairs.txt")
    assert load_lfw_pairs(lfw / "xqlfw_pairs.txt", lfw / "images").name == "xqlfw_pairs"


@pytest.mark.parametrize("folder", ["images", "lfw", "."])
def test_where_the_images_are(lfw, folder):
    load(lfw, LINES)
    if folder == ".":
        for person in list((lfw / "images").iterdir()):
            person.rename(lfw / person.name)
        (lfw / "images").rmdir()
    else:
        (lfw / "images").rename(lfw / folder)
    assert len(open_verification(lfw)) == len(open_verification(lfw / "pairs.txt")) == 4


@pytest.mark.parametrize("line", ["Bob\t1\t99999999999999999999", "Bob\t²\t1", "Bob\t1\t\0"])
def test_strange_numbers_are_refused(lfw, line):
    with pytest.raises(DataError, match=r"pairs\.txt"):
        load(lfw, [*LINES[:3], line, LINES[4]])


def test_unreadable_files_are_named(lfw):
    with pytest.raises(DataError, match=r"gone\.txt cannot be read"):
        load_lfw_pairs(lfw / "gone.txt", lfw / "images")
    (lfw / "empty.txt").write_text("")
    with pytest.raises(DataError, match=r"empty\.txt cannot be read"):
        load_lfw_pairs(lfw / "empty.txt", lfw / "images")
