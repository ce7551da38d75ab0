"""Images as a user names them: files, and folders of any depth."""

import os
from pathlib import Path

import numpy as np
import pytest

from facemargin.data.formats.named_images import NamedImages
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image


def write(root: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(smooth_image(number), path.suffix.lower()))


def test_folders_are_searched_at_any_depth_and_sorted(tmp_path):
    write(tmp_path / "faces", "bob/1.png", "ann/2.png", "ann/1.JPG", "ann/deep/er/0.webp", "c.bmp", "d.jpeg")
    (tmp_path / "faces" / "notes.txt").write_text("no image")
    (tmp_path / "faces" / "empty").mkdir()
    images = NamedImages([tmp_path / "faces"])
    names = ["ann/1.JPG", "ann/2.png", "ann/deep/er/0.webp", "bob/1.png", "c.bmp", "d.jpeg"]
    assert images.paths == [tmp_path / "faces" / name for name in names]
    assert images.names == [f"faces/{name}" for name in names]
    assert len(images) == 6 and images.name == str(tmp_path / "faces")
    np.testing.assert_array_equal(images.read(1), smooth_image(1))
    assert images.describe(3) == str(tmp_path / "faces" / "bob" / "1.png")


def test_files_and_folders_keep_the_order_given_and_count_once(tmp_path):
    write(tmp_path, "b/2.png", "b/1.png", "a/1.png")
    images = NamedImages([tmp_path / "b" / "2.png", tmp_path / "a", tmp_path / "b", tmp_path / "a" / ".." / "a"])
    assert images.paths == [tmp_path / name for name in ("b/2.png", "a/1.png", "b/1.png")]
    assert images.names == [f"{tmp_path.name}/{name}" for name in ("b/2.png", "a/1.png", "b/1.png")]
    assert images.name == "4 files and folders"


def test_names_do_not_depend_on_where_one_stands(tmp_path, monkeypatch):
    write(tmp_path, "faces/ann/1.png", "faces/bob/1.png")
    monkeypatch.chdir(tmp_path / "faces" / "ann")
    for location in (Path(".."), tmp_path / "faces", tmp_path / "faces" / "ann" / ".."):
        images = NamedImages([location])
        assert images.names == ["faces/ann/1.png", "faces/bob/1.png"]
        assert images.describe(0) == str(location / "ann" / "1.png")
    assert NamedImages([Path("1.png")]).names == ["ann/1.png"]


def test_a_file_that_is_named_is_an_image_whatever_its_suffix(tmp_path):
    (tmp_path / "face").write_bytes(encode(smooth_image(0), ".png"))
    np.testing.assert_array_equal(NamedImages([tmp_path / "face"]).read(0), smooth_image(0))


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    write(tmp_path, "1.png")
    (tmp_path / "0.png").write_bytes(b"garbage")
    images = NamedImages([tmp_path])
    assert images.read(1).shape == (40, 40, 3)
    with pytest.raises(CorruptImageError, match=r"0\.png"):
        images.read(0)


def test_links_are_followed_but_not_in_circles(tmp_path):
    write(tmp_path, "faces/ann/1.png", "elsewhere/2.png")
    (tmp_path / "faces" / "bob").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "faces" / "ann" / "round").symlink_to(tmp_path / "faces")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "faces" / "ann")
    (tmp_path / "faces" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    images = NamedImages([tmp_path / "faces"])
    assert images.names == ["faces/ann/1.png", "faces/bob/2.png", "faces/bob/back/1.png", "faces/gone.png"]
    with pytest.raises(CorruptImageError, match=r"gone\.png: cannot be read"):
        images.read(3)


def test_names_that_are_not_text_are_kept(tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    with open(path, "wb") as file:  # noqa: PTH123  (pathlib knows no bytes)
        file.write(encode(smooth_image(0), ".png"))
    images = NamedImages([tmp_path])
    assert os.fsencode(images.describe(0)) == path
    assert images.read(0).shape == (40, 40, 3)


def test_what_holds_no_images_is_named(tmp_path):
    write(tmp_path, "ann/1.png")
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    with pytest.raises(DataError, match=r"missing does not exist"):
        NamedImages([tmp_path / "ann", tmp_path / "missing"])
    with pytest.raises(DataError, match=r"empty holds no images; expected files that end in .*\.jpg"):
        NamedImages([tmp_path / "ann", tmp_path / "empty"])
    with pytest.raises(DataError, match="no images are given"):
        NamedImages([])


def test_lists_name_files_relative_to_their_own_folder(tmp_path):
    write(tmp_path, "photos/a/1.png", "photos/b 2.png", "other/3.png")
    (tmp_path / "photos" / "list.txt").write_bytes(
        b"\xef\xbb\xbfa/1.png\r\n\r\n  b 2.png \r\nna\xffme.png\n" + str(tmp_path / "other" / "3.png").encode()
    )
    images = NamedImages([tmp_path / "photos" / "list.txt"])
    names = ["photos/a/1.png", "photos/b 2.png", "photos/na\udcffme.png", "other/3.png"]
    assert images.names == [f"{tmp_path.name}/{name}" for name in names]
    np.testing.assert_array_equal(images.read(1), smooth_image(1))
    with pytest.raises(CorruptImageError, match="cannot be read"):
        images.read(2)


@pytest.mark.parametrize("content", ["", " \n\n", "a\0.png\n"])
def test_a_list_of_nothing(tmp_path, content):
    (tmp_path / "list.txt").write_text(content)
    with pytest.raises(DataError, match=r"list\.txt lists no images"):
        NamedImages([tmp_path / "list.txt"])
