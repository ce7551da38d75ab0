import csv
import json
import sys

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.detection.centerface import CenterFace
from tests.commands.photo_folder import write, write_empty, write_photographs
from tests.photographs import canvas, orl_photograph, put


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


def rows_of(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def photographs(tmp_path):
    """Two photographs with a face, one with two, one with none, and one that cannot be read."""
    root = tmp_path / "photos"
    write_photographs(root, range(1, 2))
    two = canvas(160, 320, seed=3)
    put(two, EmbeddedFaces(square=False).read(20), (80, 80))
    put(two, EmbeddedFaces(square=False).read(30), (230, 80), 1.3)
    write(root / "two.png", two)
    write_empty(root / "nobody.png")
    (root / "z.jpg").write_bytes(b"garbage")
    return root


def test_every_face_and_every_failure_is_written(command, photographs, tmp_path):
    code, out, err = command("detect", photographs, "--output", tmp_path / "out" / "faces.csv")
    assert code == 0 and "4 faces in 5 images" in out
    lines = err.splitlines()
    assert lines[0] == f"{photographs}/nobody.png: no face was found (128 × 96 pixels)"
    assert lines[1].startswith(f"{photographs}/z.jpg: not an image")
    assert lines[2] == "warning: 2 of 5 images cannot be read or show no face; they are named above"
    rows = rows_of(tmp_path / "out" / "faces.csv")
    names = ["nobody.png", "s1/s1_0001.png", "s1/s1_0002.png", "two.png", "two.png", "z.jpg"]
    assert [row["path"] for row in rows] == [f"photos/{name}" for name in names]
    assert [row["face"] for row in rows] == ["", "1", "1", "1", "2", ""]
    assert "no face was found" in rows[0]["problem"] and "not an image" in rows[5]["problem"]
    for row, number in ((rows[1], 0), (rows[3], 0), (rows[4], 1)):
        face = fm.detect(read(tmp_path / row["path"]))[number]
        assert float(row["score"]) == pytest.approx(face.score, abs=1e-4)
        corners = [float(row[name]) for name in ("left", "top", "right", "bottom")]
        np.testing.assert_allclose(corners, face.box, atol=0.006)
        points = [
            [float(row[f"{name}_{axis}"]) for axis in "xy"]
            for name in ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
        ]
        np.testing.assert_allclose(points, face.landmarks_52, atol=0.006)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["faces.csv"]


def test_json_and_drawings(command, photographs, tmp_path):
    code, _, _ = command("detect", photographs, "--output", tmp_path / "f.json", "--draw", tmp_path / "drawn")
    assert code == 0
    content = json.loads((tmp_path / "f.json").read_text())
    assert [len(image["faces"]) for image in content] == [0, 1, 1, 2, 0]
    assert (content[3]["width"], content[3]["height"]) == (320, 160)
    drawn = sorted(path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.*"))
    assert drawn == ["s1/s1_0001.png", "s1/s1_0002.png", "two.png"]
    changed = (read(tmp_path / "drawn" / "two.png") != read(photographs / "two.png")).any(axis=2)
    for face in content[3]["faces"]:
        x, y = np.round(face["landmarks"][2]).astype(int)
        assert changed[y, x] and changed[round(face["box"][1]), x]
    assert changed.mean() < 0.1


def test_a_table_for_the_terminal(command, photographs):
    code, out, _ = command("detect", photographs / "two.png", photographs / "nobody.png", photographs / "z.jpg")
    assert code == 0
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line[:1] == "│"]
    assert [row[1] for row in cells] == ["2", "0", "–"]
    assert "×" in cells[0][2] and float(cells[0][3]) > 0.5
    assert len([line for line in command("detect", photographs, "--rows", "2")[1].splitlines() if line[:1] == "│"]) == 2


def test_rotated_grey_and_transparent_files(command, tmp_path):
    photograph = orl_photograph(0, shape=(160, 240))
    gray, alpha = photograph[:, :, 0], np.full((160, 240), 200, np.uint8)
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    cv2.imwrite(str(tmp_path / "rgba.png"), np.dstack([photograph[:, :, ::-1], alpha]))
    _, encoded = cv2.imencode(".jpg", cv2.rotate(photograph[:, :, ::-1], cv2.ROTATE_90_COUNTERCLOCKWISE))
    # Orientation 6: to be shown turned a quarter clockwise.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    data = encoded.tobytes()
    marker = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(data[:2] + marker + data[2:])
    assert command("detect", tmp_path, "--output", tmp_path / "faces.csv")[0] == 0
    rows = rows_of(tmp_path / "faces.csv")
    (expected,) = fm.detect(photograph)
    assert len(rows) == 3
    for row in rows:
        nose = float(row["nose_x"]), float(row["nose_y"])
        assert np.linalg.norm(expected.landmarks_52[2] - nose) < 3, row["path"]


def test_another_detector_finds_its_own_and_goes_on_with_nobody_elses_work(command, photographs, tmp_path):
    assert command("detect", photographs, "--output", tmp_path / "faces.csv", "--detector", "yunet")[0] == 0
    (row,) = (row for row in rows_of(tmp_path / "faces.csv") if row["path"] == "photos/s1/s1_0001.png")
    (face,) = fm.detect(photographs / "s1" / "s1_0001.png", "yunet")
    assert float(row["score"]) == pytest.approx(face.score, abs=1e-4)
    assert command("align", photographs, "--output", tmp_path / "faces", "--detector", "yunet")[0] == 0
    code, _, err = command("align", photographs, "--output", tmp_path / "faces")
    assert code == 2 and "detector yunet" in err and "detector centerface" in err


def test_an_interrupted_run_goes_on(command, photographs, tmp_path, monkeypatch):
    command("detect", photographs, "--output", tmp_path / "whole.csv")
    looked = []

    class Interrupted(CenterFace):
        limit = 2

        def detect(self, image):
            looked.append(image.shape)
            if len(looked) > self.limit:
                raise KeyboardInterrupt
            return super().detect(image)

    monkeypatch.setattr("facemargin.commands._finding_faces.create_detector", lambda name: Interrupted())
    assert command("detect", photographs, "--output", tmp_path / "faces.csv")[0] == 130
    assert not (tmp_path / "faces.csv").exists()
    looked.clear()
    Interrupted.limit = 99
    assert command("detect", photographs, "--output", tmp_path / "faces.csv")[0] == 0
    assert len(looked) == 3  # the failure again, the two that were left
    assert (tmp_path / "faces.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_strange_names(command, tmp_path):
    first, second = write_photographs(tmp_path / "photos", range(1, 2))
    first.rename(first.with_name("[red]a,b.png"))
    second.rename(second.parent / "na\udcffme.png")
    code, out, _ = command("detect", tmp_path / "photos", "--output", tmp_path / "f.csv", "--draw", tmp_path / "drawn")
    assert code == 0 and "[red]a,b.png" in out
    written = (tmp_path / "f.csv").read_bytes()
    assert b'"photos/s1/[red]a,b.png",1' in written and b"na\xffme.png,1" in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no images are given"),
        (["{tmp}/none"], "none does not exist"),
        (["{tmp}/bad.png"], "the only image of"),
        (["{tmp}/photos", "--output", "{tmp}/f.txt"], "ends in .csv or .json"),
        (["{tmp}/photos", "--output", "{tmp}/bad.png/f.csv"], "bad.png"),
        (["{tmp}/photos", "--draw", "{tmp}/photos"], "is inside {tmp}/photos"),
        (["{tmp}/photos", "--draw", "{tmp}/photos/new"], "is inside {tmp}/photos"),
        (["{tmp}/photos", "--rows", "0"], "--rows is 0"),
        (["{tmp}/photos", "--min-score", "2"], "min_score is 2"),
        (["{tmp}/photos", "--longest-side", "1"], "longest_side is 1"),
        (["{tmp}/photos", "--detector", "retinaface"], "centerface"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, tmp_path, arguments, message):
    write_empty(tmp_path / "photos" / "a.png")
    (tmp_path / "bad.png").write_bytes(b"garbage")
    code, out, err = command("detect", *(word.format(tmp=tmp_path) for word in arguments))
    assert code == 2
    assert message.format(tmp=tmp_path) in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "photos"]


def test_the_extra_is_named_where_it_is_missing(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = command("detect", write_empty(tmp_path / "a.png"))
    assert code == 2 and 'pip install "facemargin[detect]"' in err
