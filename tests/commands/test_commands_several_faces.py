"""Several faces in a photograph, photographs that are not square, names that are easily lost: said, never silent."""

import csv
import json
import re
import unicodedata

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import ConfigError, SeveralFacesError
from tests.commands.photo_folder import write, write_photographs
from tests.photographs import canvas, put


def two_faces():
    """A small face in the middle, and a large one beside it."""
    photograph = canvas(200, 500, seed=3)
    put(photograph, EmbeddedFaces(square=False).read(20), (250, 100), 0.9)
    put(photograph, EmbeddedFaces(square=False).read(30), (420, 100), 1.4)
    return photograph


def read(path):
    return cv2.imread(str(path))[:, :, ::-1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """a.png and b.png with one face, group.png with two."""
    folder = tmp_path_factory.mktemp("several") / "photos"
    one, other = write_photographs(folder, range(1, 2))
    one.rename(folder / "a.png")
    other.rename(folder / "b.png")
    (folder / "s1").rmdir()
    write(folder / "group.png", two_faces())
    return folder


def crops(photos):
    photograph = read(photos / "group.png")
    return {choice: fm.align(photograph, choice) for choice in ("largest", "central")}


def test_in_python(photos):
    photograph = read(photos / "group.png")
    largest, central = crops(photos).values()
    assert not np.array_equal(largest, central)
    with pytest.raises(SeveralFacesError, match="the image: 2 faces were found, expected one"):
        fm.align(photograph, "error")
    assert fm.align(read(photos / "a.png"), "error").shape == (112, 112, 3)
    model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=16), input_size=64)
    for choice, chosen in (("largest", 0), ("central", -1)):
        result = fm.verify(model, photos / "a.png", photograph, detector="centerface", faces=choice)
        by_size = sorted(fm.detect(photograph), key=lambda face: -face.area)
        assert (result.found_a.num_faces, result.found_b.num_faces) == (1, 2)
        assert result.found_b.face.box == by_size[chosen].box
    assert fm.verify(model, *[crops(photos)["largest"]] * 2).found_a is None
    with pytest.raises(ConfigError, match='align returns one face; faces is "all"'):
        fm.align(photograph, "all")


def test_align_says_how_many_and_which_it_took(command, photos, tmp_path):
    for choice, face in crops(photos).items():
        for _ in range(2):  # the second takes it from the journal
            code, out, err = command("align", photos, "--output", tmp_path / choice, "--on-several", choice)
            taken = "most central" if choice == "central" else choice
            assert code == 0 and "3 faces aligned, of 3 images" in out
            assert f"1 of 3 images shows several faces, of which the {taken} was used (photos/group.png: 2)" in err
            assert "--on-several largest|central|all|error" in err
        np.testing.assert_array_equal(read(tmp_path / choice / "group.png"), face)
    code, out, err = command("align", photos, "--output", tmp_path / "all", "--on-several", "all")
    assert (code, err) == (0, "") and "4 faces aligned, of 3 images" in out
    code, out, err = command("align", photos, "--output", tmp_path / "error", "--on-several", "error")
    assert code == 0 and "2 faces aligned, of 2 images" in out
    assert "group.png: 2 faces were found, expected one" in err
    assert "1 of 3 images cannot be read or show none or several faces" in err
    with (tmp_path / "error" / "failures.csv").open(newline="") as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["photos/group.png"]
    assert not (tmp_path / "error" / "group.png").exists()


def test_counts_are_of_one_and_of_many(command, photos, tmp_path):
    assert "1 face aligned, of 1 image;" in command("align", photos / "a.png", "--output", tmp_path / "one")[1]


def test_a_journal_of_before_is_gone_on_with(command, photos, tmp_path):
    assert command("align", photos, "--output", tmp_path / "out")[0] == 0
    journal = tmp_path / "out" / "faces.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        line.pop("found", None)
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines).replace('"on_several"', '"faces"'))
    code, out, err = command("align", photos, "--output", tmp_path / "out")
    assert (code, err) == (0, "") and "3 faces aligned, of 3 images" in out


def test_faces_of_an_earlier_run_on_other_images_are_not_replaced(command, photos, tmp_path):
    write(tmp_path / "elsewhere" / "a.png", read(photos / "b.png"))
    assert command("align", photos, "--output", tmp_path / "out")[0] == 0
    before = (tmp_path / "out" / "a.png").read_bytes()
    code, _, err = command("align", tmp_path / "elsewhere", "--output", tmp_path / "out")
    assert code == 2 and "out/a.png is the face of photos/a.png, written by an earlier run on other images" in err
    assert (tmp_path / "out" / "a.png").read_bytes() == before


@pytest.mark.parametrize("output", ["e.npz", "folder"])
def test_embed_says_what_it_squashes_and_chooses(command, trained_run, photos, tmp_path, output):
    arguments = ["embed", trained_run, photos, "--output"]
    code, _, err = command(*arguments, tmp_path / "plain" / output)
    assert code == 0 and err.count("\n") == 1
    assert err.startswith("warning: 3 of 3 images were squashed to a square (") and "a.png: 224 × 192" in err
    code, _, err = command(*arguments, tmp_path / output, "--detect")
    assert code == 0 and err.count("\n") == 1
    assert err.startswith("warning: 1 of 3 images shows several faces, of which the largest was used (")
    left, top, right, bottom = max(fm.detect(read(photos / "group.png")), key=lambda face: face.area).box
    assert f"group.png: 2, used is the one at {left:.0f}, {top:.0f} to {right:.0f}, {bottom:.0f}). --on-several" in err
    code, out, err = command(*arguments, tmp_path / "error" / output, "--detect", "--on-several", "error")
    assert code == 0 and "2 embeddings" in out and "group.png: 2 faces were found, expected one" in err
    if output == "e.npz":
        assert command(*arguments, tmp_path / "c.npz", "--detect", "--on-several", "central")[0] == 0
        model = fm.load(trained_run)
        for name, choice in (("e.npz", "largest"), ("c.npz", "central")):
            with np.load(tmp_path / name) as file:
                place = file["paths"].tolist().index("photos/group.png")
                found = file["embeddings"][place]
            expected = model.embed([crops(photos)[choice]])
            cosine = found @ expected.vectors[0] / np.linalg.norm(found)
            assert cosine == pytest.approx(1, abs=1e-4)


def test_another_choice_is_not_taken_from_the_folder_of_the_first(command, trained_run, photos, tmp_path):
    arguments = ["embed", trained_run, photos, "--detect", "--output", tmp_path / "folder"]
    assert command(*arguments)[0] == 0
    code, _, err = command(*arguments, "--on-several", "central")
    assert code == 2 and "contains features of other images" in err


def test_quality_and_verify_say_so_too(command, trained_run, photos, tmp_path):
    assert "3 of 3 images were squashed to a square" in command("quality", trained_run, photos)[2]
    assert "1 of 3 images shows several faces" in command("quality", trained_run, photos, "--detect")[2]
    two = ["verify", trained_run, photos / "a.png", photos / "group.png"]
    assert "2 of 2 images were squashed" in command(*two)[2]
    assert "1 of 2 images shows several faces, of which the largest was used" in command(*two, "--detect")[2]
    code, _, err = command(*two, "--detect", "--on-several", "error")
    assert code == 2 and "group.png: 2 faces were found, expected one" in err
    (tmp_path / "pairs.csv").write_text(f"{photos}/a.png,{photos}/b.png\n{photos}/a.png,{photos}/group.png\n")
    pairs = ["verify", trained_run, "--pairs", tmp_path / "pairs.csv", "--output", tmp_path / "r.csv", "--detect"]
    assert "1 of 3 images shows several faces" in command(*pairs)[2]
    code, out, _ = command(*pairs, "--on-several", "error")
    assert code == 0 and "2 pairs: 1 scored, 1 with an image that cannot be used" in out


@pytest.mark.parametrize("verb", ["embed", "quality", "verify"])
def test_a_choice_without_detection_says_nothing_and_is_refused(command, trained_run, photos, tmp_path, verb):
    images = [photos] if verb != "verify" else [photos / "a.png", photos / "b.png"]
    output = ["--output", tmp_path / "e.npz"] if verb == "embed" else []
    code, _, err = command(verb, trained_run, *images, *output, "--on-several", "central")
    assert code == 2 and "--on-several central needs --detect" in err


ODD_NAMES = [
    "a.png", "a.bmp", "group.face1.png", "name[1].png", "x{2}.png", "new\nline.png", "-dash.png", "trailing .png",
    unicodedata.normalize("NFC", "josé.png"), unicodedata.normalize("NFD", "josé.png"), "a.tif", "\udcff\udcfe.png",
]  # fmt: skip


def test_odd_names_are_kept_apart_by_every_verb(command, trained_run, photos, tmp_path):
    for name in ODD_NAMES:
        path = tmp_path / "odd" / name
        path.parent.mkdir(exist_ok=True)
        encoded = cv2.imencode(path.suffix, np.ascontiguousarray(read(photos / "a.png")[:, :, ::-1]))[1]
        path.write_bytes(encoded.tobytes())
    write(tmp_path / "odd" / "group.png", two_faces())
    count = len(ODD_NAMES) + 1
    for choice, faces in (("largest", count), ("all", count + 1)):
        code, out, _ = command("align", tmp_path / "odd", "--output", tmp_path / choice, "--on-several", choice)
        assert code == 0 and f"{faces} faces aligned, of {count} images" in out
        tables = {"faces.csv", "failures.csv", "faces.jsonl"}
        assert len([path for path in (tmp_path / choice).iterdir() if path.name not in tables]) == faces
    assert command("embed", trained_run, tmp_path / "odd", "--output", tmp_path / "e.npz")[0] == 0
    with np.load(tmp_path / "e.npz") as file:
        assert set(file["paths"]) == {f"odd/{name}" for name in [*ODD_NAMES, "group.png"]}
    assert command("quality", trained_run, tmp_path / "odd", "--output", tmp_path / "q.csv")[0] == 0
    with (tmp_path / "q.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert len({row["path"] for row in csv.DictReader(file)}) == count
    code, _, _ = command("detect", tmp_path / "odd", "--output", tmp_path / "d.json", "--draw", tmp_path / "drawn")
    assert code == 0 and len(list((tmp_path / "drawn").iterdir())) == count


def test_two_pictures_of_one_name_are_refused(command, photos, tmp_path):
    """TIFF is written as PNG, under a name that may be another photograph's."""
    for name in ("a.tif", "a.tif.png"):
        write(tmp_path / "photos" / name, read(photos / "a.png"))
    for verb, option in (("align", "--output"), ("detect", "--draw")):
        code, _, err = command(verb, tmp_path / "photos", option, tmp_path / verb)
        assert code == 2 and re.search(r"two images would be written to a\.tif\.png: rename one", err)
