import csv

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.detection.detector import require_detector
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write
from tests.photographs import orl_photograph


def shown(out):
    """(image, quality) of every row of the printed table."""
    rows = [line.strip("│").split("│") for line in out.splitlines() if line.startswith("│")]
    return [(image.strip(), quality.strip()) for image, quality in rows]


def qualities(model, paths):
    return fm.load(model).embed([cv2.imread(str(path))[:, :, ::-1] for path in paths])


@pytest.mark.parametrize("kind", ["norm", "crfiqa"])
def test_the_worst_images_are_shown_first(command, trained_run, tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_faces(tmp_path / "faces", range(1, 4))
    model = trained_run if kind == "norm" else write_crfiqa_model(tmp_path / "model.safetensors")
    code, out, err = command("quality", model, "faces", "--rows", "4", "--output", "q/quality.csv")
    assert (code, err) == (0, "")
    assert {"norm": "feature norm", "crfiqa": "CR-FIQA's prediction"}[kind] in out
    paths = [f"faces/s{person}/s{person}_000{number}.jpg" for person in (1, 2, 3) for number in (1, 2, 3)]
    expected = qualities(model, paths)
    order = np.argsort(expected.quality)
    assert [image for image, _ in shown(out)] == [paths[index] for index in order[:4]]
    assert [float(quality) for _, quality in shown(out)] == pytest.approx(expected.quality[order[:4]], rel=1e-3)
    assert "and 5 more" in out and "all 9: q/quality.csv" in out
    with (tmp_path / "q" / "quality.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "quality", "norm"]
    assert [row[0] for row in rows] == paths
    np.testing.assert_allclose([float(row[1]) for row in rows], expected.quality, rtol=1e-4)
    np.testing.assert_allclose([float(row[2]) for row in rows], expected.norms, rtol=1e-4)


def test_all_are_shown_where_there_are_few(command, trained_run, tmp_path):
    write_faces(tmp_path / "faces", range(1, 2))
    code, out, _ = command("quality", trained_run, tmp_path / "faces")
    assert code == 0 and len(shown(out)) == 3
    assert "more" not in out and ".csv" not in out
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_strange_names_and_corrupt_images(command, trained_run, tmp_path):
    (first, second, third) = write_faces(tmp_path / "faces", range(1, 2))
    first.rename(first.with_name("[red]a,b.jpg"))
    second.rename(second.parent / "na\udcffme.jpg")  # a byte that is no UTF-8
    third.write_bytes(b"garbage")
    code, out, err = command("quality", trained_run, tmp_path / "faces", "--output", tmp_path / "q.csv")
    assert code == 0
    assert "[red]a,b.jpg" in out and "na�me.jpg" in out
    assert f"{third}: not an image" in err and "warning: 1 of 3 images cannot be read" in err
    written = (tmp_path / "q.csv").read_bytes()
    assert b"na\xffme.jpg," in written and b'[red]a,b.jpg",' in written and third.name.encode() not in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}"], "no images are given"),
        (["{run}", "{tmp}/none"], "none does not exist"),
        (["{run}", "{tmp}/bad.png"], "the only image of"),
        (["{run}", "{tmp}/faces", "--rows", "0"], "--rows is 0"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/bad.png/q.csv"], "cannot write"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/e.npz"], "e.npz, expected a name that ends in .csv"),
        (["{tmp}", "{tmp}/faces"], "there is no model file"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, arguments, message):
    write_faces(tmp_path / "faces", range(1, 2), each=1)
    (tmp_path / "bad.png").write_bytes(b"garbage")
    code, out, err = command("quality", *(word.format(run=trained_run, tmp=tmp_path) for word in arguments))
    assert code == 2
    assert message in out + err


def test_the_gate_gives_reasons_in_words(command, trained_run, tmp_path):
    _, second, third = write_faces(tmp_path / "faces", range(1, 2))
    face = cv2.imread(str(second))
    cv2.imwrite(str(second), cv2.GaussianBlur(face, (0, 0), face.shape[0] * 4 / 112))
    third.write_bytes(b"garbage")
    code, out, _ = command("quality", trained_run, tmp_path / "faces", "--gate", "--output", tmp_path / "q.csv")
    assert code == 0
    assert "1 of 2 images fails the gate: blurred 1" in out and "--detect does, on photographs" in out
    with (tmp_path / "q.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reasons"].partition(",")[0].partition(" 0")[0] for row in rows] == ["", "blurred: sharpness"]
    assert "blurred" in " ".join(out.split("fails the gate")[0].split())


def test_the_gate_of_photographs_sees_size_and_pose(command, trained_run, tmp_path):
    small = orl_photograph(0, 0.35, 0, shape=(192, 224))
    write(tmp_path / "photographs" / "small.png", small)
    write(tmp_path / "photographs" / "large.png", orl_photograph(0, 1.1, 0, shape=(192, 224)))
    arguments = "--detect", "--gate", "--output", tmp_path / "q.csv"
    code, out, _ = command("quality", trained_run, tmp_path / "photographs", *arguments)
    assert code == 0 and "1 of 2 images fails the gate: too small 1" in out and "not measured" not in out
    with (tmp_path / "q.csv").open(newline="") as file:
        reasons = {row["path"].rpartition("/")[2]: row["reasons"] for row in csv.DictReader(file)}
    (found,) = fm.detect(small)
    distance = np.hypot(*(found.landmarks_52[1] - found.landmarks_52[0]))
    assert reasons["large.png"] == ""
    assert f"too small: {distance:.0f} pixels between the eyes, expected at least 20" in reasons["small.png"]


def test_the_gate_is_not_for_checks(command, trained_run):
    code, _, err = command("quality", "--check", trained_run, "--data", "orl:1-6", "--gate")
    assert code == 2 and "--gate is for images, not for checking a quality" in err


def test_other_measures_are_columns_and_the_first_gives_the_order(command, trained_run, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 4), each=2)
    paths[3].write_bytes(b"garbage")
    readable = [path for number, path in enumerate(paths) if number != 3]
    measures = ("grafiqs", "serfiq:dropout=0.5:passes=5", "norm")
    output = tmp_path / "q.csv"
    code, out, err = command("quality", trained_run, tmp_path / "faces", "--measure", *measures, "--output", output)
    assert code == 0 and "1 of 6 images cannot be read" in err
    model = fm.load(trained_run)
    expected = {name: fm.measure_quality(model, readable, name) for name in measures}
    with output.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["path", "quality", "norm", "grafiqs", "serfiq:dropout=0.5:passes=5"]
    for column, name in enumerate(measures[:2], 3):
        np.testing.assert_allclose([float(row[column]) for row in rows], expected[name], rtol=1e-4)
    np.testing.assert_allclose([float(row[2]) for row in rows], expected["norm"], rtol=1e-4)
    lines = [line.strip("│").split("│") for line in out.splitlines() if line.startswith("│")]
    assert len(lines) >= 5 and all(len(line) == 4 for line in lines)
    order = np.argsort(expected["grafiqs"], kind="stable")
    shown_grafiqs = [float(line[1]) for line in lines if line[1].strip()]
    assert shown_grafiqs == pytest.approx(expected["grafiqs"][order], rel=1e-3)


def test_faces_are_found_once_for_several_measures_and_the_gate(command, trained_run, tmp_path, monkeypatch):
    for number in range(2):
        write(tmp_path / "photographs" / f"{number}.png", orl_photograph(10 * number, 1.1, 0, shape=(192, 224)))
    searched, detector = [], require_detector("centerface")
    found = type(detector).detect
    monkeypatch.setattr(type(detector), "detect", lambda self, image: searched.append(1) or found(self, image))
    measured = []
    monkeypatch.setattr(
        "facemargin.commands._gate.image_statistics", lambda *given: measured.append(1) or fm.image_statistics(*given)
    )
    measures = "--measure", "image-statistics", "grafiqs", "--gate"
    code, _, err = command("quality", trained_run, tmp_path / "photographs", "--detect", *measures)
    assert code == 0, err
    assert len(searched) == len(measured) == 2
    assert command("quality", trained_run, tmp_path / "photographs", *measures)[0] == 0
    assert len(searched) == 2 and len(measured) == 4


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (["sharp"], "unknown measure of quality 'sharp'"),
        (["norm", "norm"], "--measure contains norm twice: give it once"),
        (["crfiqa"], "this model has no layer that predicts quality"),
        (["serfiq"], "the probability of every dropout of small_resnet is 0"),
        (["serfiq:dropout=2"], "dropout is 2.0, expected a number between 0 and 1"),
    ],
)
def test_measures_that_do_not_apply_are_refused_before_anything_is_embedded(
    command, trained_run, tmp_path, measures, message, monkeypatch
):
    write_faces(tmp_path / "faces", range(1, 2), each=1)
    monkeypatch.setattr("facemargin.commands._embedding.embed_readable", None)
    code, _, err = command("quality", trained_run, tmp_path / "faces", "--measure", *measures)
    assert code == 2 and message in " ".join(err.split())
