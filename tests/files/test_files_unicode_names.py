"""Names that are written in another Unicode normal form than the file they mean."""

import csv
import logging
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from facemargin.data.formats.folder import FolderImages
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.formats.image_list import ListedImages
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.open import open_images, open_verification
from facemargin.data.overlap import identity_overlap
from facemargin.data.pairs.csv_list import load_pairs_list
from facemargin.data.pairs.lfw import load_lfw_pairs
from facemargin.errors import CorruptImageError, DataError
from facemargin.evaluation.protocols.search_lists import read_list
from facemargin.files.unicode_names import find_file, one_form, similar_files
from tests.data.sample_images import encode, smooth_image

TYPED = unicodedata.normalize("NFC", "José")
STORED = unicodedata.normalize("NFD", "José")
IMAGES = [smooth_image(seed) for seed in range(4)]


def write(*paths: Path) -> None:
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(IMAGES[number], ".png"))


@pytest.fixture(params=[(TYPED, STORED), (STORED, TYPED)], ids=["typed NFC, stored NFD", "typed NFD, stored NFC"])
def forms(request):
    return request.param


def test_files_and_folders_are_found(tmp_path, forms):
    typed, stored = forms
    write(tmp_path / stored / f"{stored} 1.png", tmp_path / "Ann" / "1.png")
    assert typed != stored and one_form(typed) == one_form(stored)
    assert find_file(tmp_path / typed / f"{typed} 1.png") == tmp_path / stored / f"{stored} 1.png"
    assert find_file(tmp_path / typed) == tmp_path / stored
    assert find_file(tmp_path / "Ann" / "1.png") == tmp_path / "Ann" / "1.png"
    for missing in ("Bob", typed + "x", f"{typed}/{typed} 2.png", "x" * 10_000 + "é", "é\0"):
        assert find_file(tmp_path / missing) is None


def test_a_file_that_comes_later_is_found(tmp_path):
    assert find_file(tmp_path / TYPED) is None
    write(tmp_path / STORED)
    assert find_file(tmp_path / TYPED) == tmp_path / STORED


def test_the_exact_name_wins_and_of_two_others_none(tmp_path):
    name = "\u1e69"  # has three forms: composed, decomposed, and half
    others = [unicodedata.normalize("NFD", name), "\u015b".replace("\u015b", "\u1e63") + "\u0307"]
    write(*(tmp_path / other for other in others))
    assert set(similar_files(tmp_path / name)) == {tmp_path / other for other in others}
    assert find_file(tmp_path / name) is None
    with pytest.raises(CorruptImageError, match=r"No such file or directory; 2 files differ from it in Unicode"):
        ImageFiles(tmp_path, [name]).read(0)
    write(tmp_path / "elsewhere.png", tmp_path / name)
    assert find_file(tmp_path / name) == tmp_path / name
    np.testing.assert_array_equal(ImageFiles(tmp_path, [name]).read(0), IMAGES[1])


def test_every_reader_of_files_by_name(tmp_path, forms):
    typed, stored = forms
    write(tmp_path / stored / f"{stored}.png")
    name = f"{typed}/{typed}.png"
    (tmp_path / "list.txt").write_text(f"{name}\t0\n", encoding="utf-8")
    (tmp_path / "names.txt").write_text(f"{name}\n", encoding="utf-8")
    for images in (
        ImageFiles(tmp_path, [name]),
        ImageFiles("", [tmp_path / name], "x"),
        NamedImages([tmp_path / name]),
        NamedImages([tmp_path / typed]),
        NamedImages([tmp_path / "names.txt"]),
        ListedImages(tmp_path / "list.txt"),
    ):
        assert len(images) == 1
        np.testing.assert_array_equal(images.read(0), IMAGES[0])
    assert ImageFiles(tmp_path, [name]).read_encoded(0) == (tmp_path / stored / f"{stored}.png").read_bytes()
    with pytest.raises(CorruptImageError, match=r"gone\.png: cannot be read: No such file or directory$"):
        ImageFiles(tmp_path, [f"{typed}/gone.png"]).read(0)


def test_sets_by_their_path(tmp_path, forms):
    typed, stored = forms
    write(tmp_path / stored / "Ann" / "1.png", tmp_path / stored / "Bob" / "1.png")
    assert len(open_images(tmp_path / typed)) == 2
    (tmp_path / stored / "pairs.csv").write_text("Ann/1.png,Bob/1.png,0\n")
    assert len(open_verification(str(tmp_path / typed))) == 1


def test_pairs(tmp_path, forms):
    typed, stored = forms
    write(*(tmp_path / f"{stored}_{number}.png" for number in range(2)), tmp_path / "Zoe.png")
    rows = [("path1", "path2", "same", "person1", "person2")]
    rows += [(f"{typed}_0.png", f"{typed}_1.png", 1, typed, stored), (f"{typed}_0.png", "Zoe.png", 0, stored, "Zoe")]
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    pairs = load_pairs_list(tmp_path / "pairs.csv")
    for place, image in ((pairs.first_K[0], 0), (pairs.second_K[0], 1), (pairs.second_K[1], 2)):
        np.testing.assert_array_equal(pairs.images.read(int(place)), IMAGES[image])
    assert len(pairs.identity_names) == 2


def test_lfw(tmp_path, forms):
    typed, stored = forms
    write(*(tmp_path / stored / f"{stored}_000{number}.png" for number in (1, 2)), tmp_path / "Zoe" / "Zoe_0001.png")
    (tmp_path / "pairs.txt").write_text(f"1\t1\n{typed}\t1\t2\n{typed}\t1\tZoe\t1\n", encoding="utf-8")
    pairs = load_lfw_pairs(tmp_path / "pairs.txt", tmp_path)
    for place, image in ((pairs.first_K[0], 0), (pairs.second_K[0], 1), (pairs.second_K[1], 2)):
        np.testing.assert_array_equal(pairs.images.read(int(place)), IMAGES[image])


def test_lfw_with_an_image_in_two_kinds(tmp_path, caplog):
    write(tmp_path / "Ann" / "Ann_0001.png", tmp_path / "Ann" / "Ann_0002.png", tmp_path / "Zoe" / "Zoe_0001.png")
    (tmp_path / "Ann" / "Ann_0001.jpg").write_bytes(encode(IMAGES[3]))
    (tmp_path / "pairs.txt").write_text("1\t1\nAnn\t1\t2\nAnn\t1\tZoe\t1\n")
    pairs = load_lfw_pairs(tmp_path / "pairs.txt", tmp_path)
    assert pairs.images.describe(int(pairs.first_K[0])).endswith("Ann_0001.jpg")
    assert caplog.messages == [
        f"{tmp_path}: images of pairs that exist in several files, of which the first is used: 1 ("
        "Ann/Ann_0001.jpg, Ann/Ann_0001.png)"
    ]


def test_people_of_a_protocol_are_one_however_they_are_written(tmp_path):
    (tmp_path / "gallery.csv").write_text(f"image,identity,template\na.png,{TYPED},{STORED}\nb.png,{STORED},{TYPED}\n")
    first, second = read_list(tmp_path / "gallery.csv")
    assert first.identity == second.identity and first.template == second.template


def test_two_folders_that_look_the_same_are_two_people_and_said(tmp_path, caplog):
    write(tmp_path / TYPED / "1.png", tmp_path / STORED / "1.png")
    with caplog.at_level(logging.WARNING):
        assert FolderImages(tmp_path).num_identities == 2
    assert caplog.messages == [
        f"{tmp_path}: 1 name is there twice, in different Unicode normal forms, and taken for different people: José"
    ]


def test_two_labels_of_a_list_that_look_the_same_are_two_people_and_said(tmp_path, caplog):
    (tmp_path / "list.txt").write_text(f"a.png\t{TYPED}\nb.png\t{STORED}\nc.png\tann\n")
    assert ListedImages(tmp_path / "list.txt").num_identities == 3
    assert "1 name is there twice, in different Unicode normal forms" in caplog.text


def test_an_overlap_is_found_by_name(tmp_path):
    write(tmp_path / "train" / TYPED / "1.png", tmp_path / "test" / STORED / "1.png")
    found = identity_overlap(FolderImages(tmp_path / "train"), FolderImages(tmp_path / "test"))
    assert found.shared_names == [TYPED]


def test_names_with_line_separators_and_blanks_in_a_list(tmp_path):
    names = ["a\u2028b.png", "trailing .png", "ends in a blank ", "-dash.png"]
    write(*(tmp_path / name for name in names))
    (tmp_path / "list.txt").write_text("".join(f"{name}\r\n" for name in names), encoding="utf-8", newline="")
    images = NamedImages([tmp_path / "list.txt"])
    for number in range(4):
        np.testing.assert_array_equal(images.read(number), IMAGES[number])


def test_what_is_missing_is_named_as_it_was_typed(tmp_path):
    (tmp_path / "pairs.csv").write_text(f"{TYPED}.png,b.png,1\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"images of the pairs are missing: 2 of 2 .{TYPED}.png, b.png"):
        load_pairs_list(tmp_path / "pairs.csv")
