import csv
import os
import signal
import time

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import EmbeddedFaces
from tests.commands.photo_folder import write, write_empty, write_photographs
from tests.photographs import canvas, put
from tests.processes import Program
from tests.systems import posix_only


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tree(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


TABLES = ["faces.csv", "faces.jsonl", "failures.csv"]


def two_faces():
    """A small face in the middle, and a large one beside it."""
    photograph = canvas(200, 500, seed=3)
    put(photograph, EmbeddedFaces(square=False).read(20), (250, 100), 0.9)
    put(photograph, EmbeddedFaces(square=False).read(30), (420, 100), 1.4)
    return photograph


def test_folders_are_kept_and_failures_listed(command, tmp_path):
    paths = write_photographs(tmp_path / "photos", range(1, 3))
    write_empty(tmp_path / "photos" / "s2" / "nobody.png")
    (tmp_path / "photos" / "s1" / "z.jpg").write_bytes(b"")
    code, out, err = command("align", tmp_path / "photos", "--output", tmp_path / "aligned")
    assert code == 0 and "4 faces aligned, of 4 images" in out
    assert "nobody.png: no face was found" in err and "z.jpg: the image is empty" in err and "2 of 6 images" in err
    names = [path.relative_to(tmp_path / "photos").as_posix() for path in paths]
    assert tree(tmp_path / "aligned") == sorted([*TABLES, *names])
    for path, name in zip(paths, names, strict=True):
        np.testing.assert_array_equal(read(tmp_path / "aligned" / name), fm.align(read(path)))
    failures = rows_of(tmp_path / "aligned" / "failures.csv")
    assert [row["path"] for row in failures] == ["photos/s1/z.jpg", "photos/s2/nobody.png"]
    assert "the image is empty" in failures[0]["problem"] and "no face" in failures[1]["problem"]
    rows = rows_of(tmp_path / "aligned" / "faces.csv")
    assert [row["file"] for row in rows if row["file"]] == names and len(rows) == 6


def test_one_of_several_faces_or_all(command, tmp_path):
    photo = write(tmp_path / "photo.png", two_faces())
    faces = fm.detect(read(photo))
    assert len(faces) == 2
    outputs = {}
    for choice in ("largest", "central", "all"):
        folder = tmp_path / choice
        assert command("align", photo, "--output", folder, "--faces", choice, "--size", "64")[0] == 0
        outputs[choice] = {name: read(folder / name) for name in tree(folder) if name.endswith(".png")}
    assert list(outputs["all"]) == ["photo.face1.png", "photo.face2.png"]
    large, small = outputs["all"].values()
    assert large.shape == (64, 64, 3) and not np.array_equal(large, small)
    np.testing.assert_array_equal(outputs["largest"]["photo.png"], large)
    np.testing.assert_array_equal(outputs["central"]["photo.png"], small)
    np.testing.assert_array_equal(large, fm.align(read(photo), size=64))


def test_every_format_keeps_its_name(command, tmp_path):
    photograph = two_faces()
    for suffix in (".jpg", ".bmp", ".webp", ".pgm", ".tif"):
        write(tmp_path / "photos" / f"a{suffix}", photograph[:, :, :1] if suffix == ".pgm" else photograph)
    photos = sorted((tmp_path / "photos").iterdir())
    assert command("align", *photos, "--output", tmp_path / "aligned")[0] == 0
    expected = fm.align(photograph).astype(float)
    gray = fm.align(np.repeat(photograph[:, :, :1], 3, axis=2)).astype(float)
    for name in ("a.jpg", "a.bmp", "a.webp", "a.pgm", "a.tif.png"):
        found = read(tmp_path / "aligned" / name).astype(float)
        assert np.abs(found - (gray if name == "a.pgm" else expected)).mean() < 6, name


def test_a_second_run_does_what_is_missing(command, tmp_path):
    paths = write_photographs(tmp_path / "photos", range(1, 3))
    paths[1].rename(tmp_path / "later.png")
    arguments = "align", tmp_path / "photos", "--output", tmp_path / "aligned"
    assert command(*arguments)[0] == 0
    kept, deleted = (tmp_path / "aligned" / "s1" / "s1_0001.png", tmp_path / "aligned" / "s2" / "s2_0001.png")
    before = kept.stat().st_mtime_ns
    deleted.unlink()
    (tmp_path / "later.png").rename(paths[1])
    code, out, _ = command(*arguments)
    assert code == 0 and "4 faces aligned" in out
    assert kept.stat().st_mtime_ns == before and deleted.is_file()
    assert [row["path"][-11:] for row in rows_of(tmp_path / "aligned" / "faces.csv")] == [p.name for p in paths]


def test_a_photograph_that_failed_is_tried_again(command, tmp_path):
    (photo, _) = write_photographs(tmp_path / "photos", range(1, 2))
    whole = photo.read_bytes()
    photo.write_bytes(whole[:500])
    arguments = "align", tmp_path / "photos", "--output", tmp_path / "aligned"
    assert "1 of 2 images" in command(*arguments)[2]
    photo.write_bytes(whole)
    assert command(*arguments)[2] == ""
    assert rows_of(tmp_path / "aligned" / "failures.csv") == []


@posix_only
@pytest.mark.slow
def test_a_killed_run_goes_on(command, tmp_path):
    write_photographs(tmp_path / "photos", range(1, 7), each=3)
    arguments = ["align", str(tmp_path / "photos"), "--output", str(tmp_path / "aligned")]
    journal = tmp_path / "aligned" / "faces.jsonl"
    process = Program("-m", "facemargin", *arguments)
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert not (tmp_path / "aligned" / "faces.csv").exists()  # it was killed midway
    noted = journal.read_bytes()
    assert command(*arguments)[0] == 0
    assert journal.read_bytes().startswith(noted[: noted.rindex(b"\n") + 1])
    assert command("align", tmp_path / "photos", "--output", tmp_path / "whole")[0] == 0
    for name in tree(tmp_path / "whole"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "aligned" / name).read_bytes(), name


def test_lists_of_files(command, tmp_path):
    paths = write_photographs(tmp_path / "photos", range(1, 3))
    lines = [path.relative_to(tmp_path).as_posix() for path in paths[1:3]]
    (tmp_path / "list.txt").write_text("\n".join(["", *lines, "photos/none.jpg", ""]))
    code, _, err = command("align", tmp_path / "list.txt", "--output", tmp_path / "aligned")
    assert code == 0 and "photos/none.jpg: cannot be read" in err
    assert tree(tmp_path / "aligned") == sorted([*TABLES, "s1/s1_0002.png", "s2/s2_0001.png"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/photos"], "--output"),
        (["--output", "{tmp}/new"], "no images are given"),
        (["{tmp}/photos", "--output", "{tmp}/photos"], "is inside {tmp}/photos"),
        (["{tmp}/photos", "--output", "{tmp}/photos/new"], "is inside {tmp}/photos"),
        (["{tmp}/photos/a.png", "--output", "{tmp}/photos"], "is inside {tmp}/photos"),
        (["{tmp}/photos", "--output", "{tmp}/full"], "is not the output of an earlier alignment"),
        (["{tmp}/photos", "--output", "{tmp}/bad.png"], "is not the output of an earlier alignment"),
        (["{tmp}/bad.png", "--output", "{tmp}/new"], "the only image of"),
        (["{tmp}/photos", "--output", "{tmp}/new", "--size", "1"], "--size is 1"),
        (["{tmp}/photos", "--output", "{tmp}/new", "--faces", "larges"], "largest"),
        (["{tmp}/list.txt", "--output", "{tmp}/new"], "list.txt lists no images"),
        (["{tmp}/photos/a.png", "{tmp}/photos/a.tif", "{tmp}/photos/a.tif.png", "--output", "{tmp}/new"], "a.tif.png"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, tmp_path, arguments, message):
    for name in ("a.png", "a.tif", "a.tif.png"):
        write_empty(tmp_path / "photos" / name)
    (tmp_path / "bad.png").write_bytes(b"garbage")
    (tmp_path / "list.txt").write_text("\n \n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.png").write_bytes(b"mine")
    code, out, err = command("align", *(word.format(tmp=tmp_path) for word in arguments))
    assert code == 2
    assert message.format(tmp=tmp_path) in out + err
    assert tree(tmp_path / "full") == ["precious.png"] and len(tree(tmp_path / "photos")) == 3


def test_other_settings_need_another_folder(command, tmp_path):
    write_photographs(tmp_path / "photos", range(1, 2))
    assert command("align", tmp_path / "photos", "--output", tmp_path / "aligned")[0] == 0
    before = {name: (tmp_path / "aligned" / name).read_bytes() for name in tree(tmp_path / "aligned")}
    code, _, err = command("align", tmp_path / "photos", "--output", tmp_path / "aligned", "--size", "96")
    assert code == 2 and "written with other settings" in err and "size 112, not" in err
    assert {name: (tmp_path / "aligned" / name).read_bytes() for name in tree(tmp_path / "aligned")} == before
