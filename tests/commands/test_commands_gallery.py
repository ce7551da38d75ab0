"""`facemargin gallery`, by its `main`: enrol, identify, review, list, remove, verify, export."""

import csv
import json
import re
import shutil
import sqlite3

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.features.embeddings_file import EmbeddingsFile


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Folders of people 1 to 3, three images each, and the images of two others."""
    root = tmp_path_factory.mktemp("gallery") / "people"
    faces = fm.open_images("orl:1-5")
    for person in range(5):
        place = root if person < 3 else root.parent / "others"
        for number in range(3):
            path = place / f"s{person + 1}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), faces.read(10 * person + number))
    return root


@pytest.fixture(scope="module")
def calibration(trained_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "c.json"
    fm.calibrate(fm.load(trained_run), fm.open_verification("orl:1-8")).save(path)
    return path


@pytest.fixture(scope="module")
def enrolled(trained_run, people, tmp_path_factory):
    folder = tmp_path_factory.mktemp("enrolled") / "g"
    gallery = fm.Gallery.create(folder, str(trained_run))
    gallery.enrol(people, gate="off", consent="form 7")
    gallery.close()
    return folder


@pytest.fixture
def gallery(enrolled, tmp_path):
    return shutil.copytree(enrolled, tmp_path / "g")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_from_creating_to_removing(command, trained_run, people, calibration, tmp_path):
    g = tmp_path / "new" / "g"
    code, out, _ = command("gallery", "create", g, "--model", trained_run)
    assert code == 0 and "of aligned faces" in out and "quality is not used: it is never checked" in out
    code, out, err = command(
        "gallery", "enrol", g, people, "--gate", "review", "--calibration", calibration, "--consent", "form 7",
        "--output", tmp_path / "enrolled.csv",
    )  # fmt: skip
    rows = rows_of(tmp_path / "enrolled.csv")
    kinds = [row["outcome"] for row in rows]
    assert code == 0 and len(rows) == 9 and set(kinds) <= {"enrolled", "in review"}
    assert f"9 images: {kinds.count('enrolled')} enrolled" in out and "not checked: the model's quality" in err
    assert all(bool(row["codes"]) == (row["outcome"] == "in review") for row in rows)
    code, out, _ = command("gallery", "review", g)
    numbers = re.findall(r"^│ (\d+)", out, re.MULTILINE)
    assert code == 0 and len(numbers) == kinds.count("in review")
    if numbers:
        code, out, _ = command("gallery", "review", g, "--accept", *numbers)
        assert (code, out) == (0, f"{len(numbers)} accepted, 0 deleted, 0 left\n")
    code, out, _ = command("gallery", "verify", g)
    assert code == 0 and "3 people, 9 images: whole" in out
    code, out, _ = command("gallery", "merge", g, "s3", "--into", "s2")
    numbers = re.findall(r"image[s]? of 's3' now of 's2'", out)
    assert code == 0 and len(numbers) == 1
    code, out, _ = command("gallery", "list", g, "--person", "s2", "--json")
    moved = [one["number"] for one in json.loads(out)][-3:]
    code, out, _ = command("gallery", "split", g, "s2", "--numbers", *moved, "--name", "s3")
    assert (code, out) == (0, "3 images of 's2' now of 's3'\n")
    code, out, _ = command("gallery", "remove", g, "s2")
    assert code == 0 and "3 images of 1 person deleted" in out and "backups" in out
    code, out, _ = command("gallery", "list", g, "--json")
    assert [one["name"] for one in json.loads(out)] == ["s1", "s3"]


def test_identifying(command, gallery, people, calibration, tmp_path):
    output = tmp_path / "results.csv"
    options = ("--calibration", calibration, "--fpir", "0.3")
    code, out, err = command(
        "gallery", "identify", gallery, people, people.parent / "others", *options, "--output", output
    )
    rows = rows_of(output)
    with fm.Gallery(gallery, calibration=fm.decision.Calibration.load(calibration)) as opened:
        paths = [row["path"] for row in rows]
        expected = opened.identify(paths, fpir=0.3)
        words = opened.rule(0.3).words
    assert code == 0 and list(rows[0]) == ["path", "person", "score", "decision", "quality", "reason"]
    for row, answer in zip(rows, expected, strict=True):
        assert (row["person"] or None, row["decision"]) == (answer.person, answer.decision)
        assert float(row["score"]) == pytest.approx(answer.score, abs=1e-6)
        assert float(row["quality"]) == pytest.approx(answer.quality, rel=1e-5)
        assert row["reason"] == "; ".join(reason.words for reason in answer.reasons)
    counts = {kind: sum(answer.decision == kind for answer in expected) for kind in ("this person", "cannot tell")}
    assert f"15 images: {counts['this person']} this person" in out and all(word in out for word in words)
    assert "quality is not used" in err
    code, out, _ = command(
        "gallery", "identify", gallery, people, *options, "--by-folder", "--explain", "--candidates", 2
    )
    assert code == 0 and "3 folders: " in out and out.count("most alike: ") == 3 and "of 3 images pooled" in out


def test_one_answer_has_an_exit_code(command, gallery, people, calibration, tmp_path):
    image = people / "s1" / "0.png"
    with fm.Gallery(gallery, calibration=fm.decision.Calibration.load(calibration)) as opened:
        codes = {"this person": 0, "nobody enrolled": 1, "cannot tell": 3}
        (answer,) = opened.identify(image)
        assert command("gallery", "identify", gallery, image, "--calibration", calibration)[0] == codes[answer.decision]
    flat = tmp_path / "flat.png"
    cv2.imwrite(str(flat), np.full((64, 64, 3), 90, np.uint8))
    code, out, _ = command("gallery", "identify", gallery, flat, "--calibration", calibration, "--gate", "refuse")
    assert code == 3 and "too poor to decide (blurred: " in out
    (tmp_path / "broken.png").write_bytes(b"x")
    code, out, _ = command("gallery", "identify", gallery, tmp_path / "broken.png", "--calibration", calibration)
    assert code == 3 and "broken.png: too poor to decide" in out
    code, out, err = command("gallery", "identify", gallery, image)
    assert code == 0 and "no thresholds" in err and "most alike, s1 has 0." in out


def test_listing_and_single_images(command, gallery):
    code, out, _ = command("gallery", "list", gallery)
    assert code == 0 and "3 people, 9 images" in out
    code, out, _ = command("gallery", "list", gallery, "--person", "s2", "--json")
    images = json.loads(out)
    assert [image["consent"] for image in images] == ["form 7"] * 3
    code, out, _ = command("gallery", "remove", gallery, "--numbers", images[0]["number"], images[1]["number"])
    assert code == 0 and "2 images deleted" in out
    _, out, _ = command("gallery", "list", gallery, "--person", "s2")
    assert str(images[2]["number"]) in out and "form 7" in out


def test_exporting(command, gallery, people, trained_run, tmp_path):
    code, out, _ = command("gallery", "export", gallery, "--output", tmp_path / "g.npz")
    assert code == 0 and "9 images" in out
    faces = fm.open_images(people)
    found = EmbeddingsFile(tmp_path / "g.npz").embed(faces)
    expected = fm.load(trained_run).embed(faces)
    assert np.allclose(found.vectors, expected.vectors, atol=1e-5)
    assert np.allclose(found.norms, expected.norms, rtol=1e-5)
    with np.load(tmp_path / "g.npz", allow_pickle=False) as arrays:
        assert arrays["people"].tolist() == [f"s{person}" for person in (1, 2, 3) for _ in range(3)]
    code, _, _ = command("gallery", "export", gallery, "--output", tmp_path / "g.csv")
    assert code == 0 and [row["person"] for row in rows_of(tmp_path / "g.csv")][::3] == ["s1", "s2", "s3"]
    assert "exists already" in command("gallery", "export", gallery, "--output", tmp_path / "g.csv")[2]


def test_certifying(command, gallery, people, tmp_path):
    strangers = tmp_path / "strangers"
    faces = fm.open_images("orl:6-25")
    for index in range(0, 200, 5):
        path = strangers / faces.identity_names[faces.labels[index]] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), faces.read(index))
    output = tmp_path / "c.json"
    code, out, _ = command("gallery", "certify", gallery, strangers, "--fpir", 0.3, "--output", output)
    assert code == 0 and "at most 30 % searches with one image for strangers" in out and "certified on 20 people" in out
    assert "FPIR of these 20 people, in 40 searches: " in out
    code, out, _ = command("gallery", "identify", gallery, people, "--certificate", output)
    assert code == 0 and "promised with 95 % confidence" in out and " 0 nobody enrolled" in out
    code, out, _ = command("gallery", "certify", gallery, strangers, "--output", output)
    assert code == 1 and "refused: FPIR 0.01 needs 299 people" in out
    code, _, err = command("gallery", "identify", gallery, people, "--certificate", output)
    assert code == 2 and "promises nothing" in err


def test_what_verify_finds(command, gallery):
    connection = sqlite3.connect(gallery / "gallery.sqlite")
    with connection:
        connection.execute("UPDATE images SET crc = 1 WHERE id = 4")
    connection.close()
    code, out, err = command("gallery", "verify", gallery)
    assert code == 1 and "has 1 problem" in out and "images-000001.rows: row 3 is not what was written" in err


def test_a_model_that_is_code_is_not_run(command, people, tmp_path):
    """A gallery of a stranger may name any file."""
    code_file = tmp_path / "own.py"
    code_file.write_text(
        "from pathlib import Path\nimport facemargin as fm\nPath(__file__).with_suffix('.ran').write_text('')\n"
        "model = fm.wrap(fm.create_backbone('small_resnet', embedding_size=16), input_size=64)\n"
    )
    assert command("gallery", "create", tmp_path / "g", "--model", f"{code_file}:model")[0] == 0
    code_file.with_suffix(".ran").unlink()
    code, _, err = command("gallery", "enrol", tmp_path / "g", people)
    assert code == 2 and "not run unless you name it" in err and not code_file.with_suffix(".ran").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "the action is missing: expected create, enrol"),
        ("enroll G PEOPLE", "unknown action 'enroll'"),
        ("create G --model sface", "exists already: give a new folder"),
        ("create NEW --model MODEL --detector yunet", "needs --detect"),
        ("list NEW", "is no gallery"),
        ("list G --person eve", "nobody is enrolled as 'eve'"),
        ("remove G", "give the names of people"),
        ("remove G s1 --numbers 3", "and not both"),
        ("remove G --numbers 99", "no image 99"),
        ("review G --accept 1", "image 1 does not wait for a decision"),
        ("export G --output x.txt", "expected a name that ends in .npz or .csv"),
        ("identify G PEOPLE --output x.txt", "expected a name that ends in .csv"),
        ("identify G PEOPLE --fmr 0.1 --fpir 0.2", "--fmr and --fpir are both given"),
        ("identify G PEOPLE --fpir 2 --calibration CALIBRATION", "the FPIR is 2.0"),
        ("identify G PEOPLE --certificate x --fmr 0.1", "remove --fmr"),
        ("identify G PEOPLE --batch-size 0", "--batch-size is 0"),
        ("identify G PEOPLE --candidates 0", "candidates is 0"),
        ("identify G PEOPLE --model sface", "another model"),
        ("enrol G PEOPLE --output x.txt", "expected a name that ends in .csv"),
    ],
)
def test_wrong_uses(command, enrolled, people, trained_run, calibration, tmp_path, arguments, says):
    places = {
        "G": enrolled,
        "PEOPLE": people,
        "MODEL": trained_run,
        "NEW": tmp_path / "new",
        "CALIBRATION": calibration,
    }
    if "--model sface" in arguments and arguments.startswith("identify"):
        fm.Gallery.create(
            tmp_path / "other", fm.wrap(fm.create_backbone("small_resnet", embedding_size=16), input_size=64)
        )
        arguments = arguments.replace("--model sface", "--model MODEL")
        places["G"] = tmp_path / "other"
    code, _, err = command("gallery", *(places.get(word, word) for word in arguments.split()))
    assert code == 2 and says in err.replace("\n", " "), err
