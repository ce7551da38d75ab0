"""Pairs that a list should not have are counted and named, whatever format the list is in."""

import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.open import open_verification
from facemargin.data.pairs.odd_pairs import say_odd_pairs
from facemargin.data.pairs.unlabeled import read_path_pairs
from facemargin.errors import DataError


@pytest.fixture
def folder(tmp_path):
    faces = EmbeddedFaces([1, 2])
    for name, index in (("a", 0), ("b", 1), ("c", 10), ("d", 11)):
        (tmp_path / f"{name}.png").write_bytes(faces.read_encoded(index))
    return tmp_path


def pairs_list(folder, *lines):
    path = folder / "mine.csv"
    path.write_text("".join(f"{line[0]}.png,{line[1]}.png,{line[2]}\n" for line in lines))
    return path


def test_clean_pairs_say_nothing(folder, caplog):
    open_verification(pairs_list(folder, "ab1", "cd1", "ac0", "bd0"))
    assert caplog.text == ""


def test_an_image_with_itself_and_repeated_pairs_are_counted_and_named(folder, caplog):
    path = pairs_list(folder, "ab1", "cc1", "ac0", "ba1", "ca0", "ac0")
    open_verification(path)
    assert f"{path}: pairs of an image with itself: 1 of 6; the first is pair 2, {folder}/c.png" in caplog.text
    assert "repeated pairs, in this or the other order: 3 of 6; the first is pair 4," in caplog.text


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["ab1", "ac0", "ba0"], "pair 3, .*b.png and .*a.png, is impostor, but the opposite on another line"),
        (["ab1", "cc0"], "pair 2, .*c.png and .*c.png, is impostor, but it is an image with itself"),
    ],
)
def test_pairs_that_contradict_each_other_are_refused(folder, lines, message):
    with pytest.raises(DataError, match=message):
        open_verification(pairs_list(folder, *lines))


def test_a_file_written_in_several_ways_is_one_image(folder, caplog):
    (folder / "pairs.csv").write_text("a.png,./a.png,1\n.//b.png,c.png,0\n./c.png,b.png,0\na.png,b.png,1\n")
    assert len(open_verification(folder / "pairs.csv").images) == 3
    assert "pairs of an image with itself: 1 of 4; the first is pair 1" in caplog.text
    assert "repeated pairs, in this or the other order: 1 of 4; the first is pair 3" in caplog.text
    caplog.clear()
    (folder / "mine.csv").write_text("a.png,./a.png\nb.png,c.png\n./c.png,.//b.png\n")
    pairs = read_path_pairs(folder / "mine.csv")
    assert pairs.names == ["a.png", "./a.png", "b.png", "c.png", "./c.png", ".//b.png"]  # results name them as given
    assert "pairs of an image with itself: 1 of 3; the first is pair 1" in caplog.text
    assert "order: 1 of 3; the first is pair 3" in caplog.text


def test_pairs_to_verify_are_counted_too(tmp_path, caplog):
    (tmp_path / "pairs.csv").write_text("a.png,b.png\nb.png,a.png\nc.png,c.png\n")
    assert len(read_path_pairs(tmp_path / "pairs.csv").images_K2) == 3
    assert "pairs of an image with itself: 1 of 3; the first is pair 3, c.png and c.png" in caplog.text
    assert "repeated pairs, in this or the other order: 1 of 3" in caplog.text


def test_counts_are_those_of_a_loop(caplog):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 12, (2, 200))
    seen, again = set(), 0
    for a, b in zip(first.tolist(), second.tolist(), strict=True):
        again += frozenset((a, b)) in seen
        seen.add(frozenset((a, b)))
    say_odd_pairs("set", str, first, second)
    assert f"pairs of an image with itself: {int((first == second).sum())} of 200" in caplog.text
    assert f"repeated pairs, in this or the other order: {again} of 200" in caplog.text
