import re

import cv2
import numpy as np
import pytest

from facemargin.commands import make_pairs
from facemargin.data.open import open_verification
from tests.commands.face_folder import write_faces


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "faces"
    write_faces(folder, range(1, 21), each=4)
    return folder


def test_own_faces_become_a_bin_file_of_the_same_bytes(command, faces, tmp_path):
    code, out, err = command("make-pairs", faces, "--output", tmp_path / "own.bin", "--pairs", 100)
    assert (code, err) == (0, "")
    assert out == f"100 pairs, 50 of them genuine of 20 people; {tmp_path}/own.bin\n"
    pairs = open_verification(tmp_path / "own.bin")
    person_of = {path.read_bytes(): path.parent.name for path in faces.rglob("*.jpg")}
    people = [
        [person_of[pairs.images.read_encoded(index)] for index in index_K]
        for index_K in (pairs.first_K, pairs.second_K)
    ]
    np.testing.assert_array_equal([one == other for one, other in zip(*people, strict=True)], pairs.same_K)
    of_fold = [{side[k] for side in people for k in np.flatnonzero(pairs.folds_K == fold)} for fold in range(10)]
    assert sum(map(len, of_fold)) == len(set().union(*of_fold)) == 20
    again = tmp_path / "again.bin"
    assert command("make-pairs", faces, "--output", again, "--pairs", 100)[0] == 0
    assert again.read_bytes() == (tmp_path / "own.bin").read_bytes()
    assert command("make-pairs", faces, "--output", again, "--pairs", 100, "--seed", 1)[0] == 0
    assert again.read_bytes() != (tmp_path / "own.bin").read_bytes()


def test_a_folder_keeps_folds_and_people(command, faces, tmp_path):
    code, _, err = command("make-pairs", faces, "--output", tmp_path / "own", "--pairs", 48, "--folds", 4)
    assert (code, err) == (0, "")
    pairs = open_verification(tmp_path / "own")
    assert len(pairs) == 48 and pairs.name == "own" and set(pairs.folds_K.tolist()) == {0, 1, 2, 3}
    same_K = pairs.identities_N[pairs.first_K] == pairs.identities_N[pairs.second_K]
    np.testing.assert_array_equal(same_K, pairs.same_K)
    assert set(pairs.identity_names) <= {f"s{person}" for person in range(1, 21)}
    for index in range(len(pairs.images)):
        name = pairs.identity_names[pairs.identities_N[index]]
        assert pairs.images.read_encoded(index) in [path.read_bytes() for path in (faces / name).iterdir()]


def test_images_that_cannot_be_read_are_left_out_and_named(command, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 5), each=4)
    for path in paths[::5]:
        path.write_bytes(path.read_bytes()[:200])
    code, _, err = command("make-pairs", tmp_path / "faces", "--output", tmp_path / "own", "--pairs", 20, "--folds", 2)
    assert code == 0
    pairs = open_verification(tmp_path / "own")
    for index in range(len(pairs.images)):
        assert pairs.images.read(index).shape == (92, 92, 3)
    left_out = [line for line in err.splitlines() if line.startswith("left out: ")]
    assert left_out and all(any(str(path) in line for path in paths[::5]) for line in left_out)


def test_a_model_is_evaluated_on_own_pairs(command, trained_run, faces, tmp_path):
    assert command("make-pairs", faces, "--output", tmp_path / "own.bin", "--pairs", 100)[0] == 0
    code, out, err = command("evaluate", trained_run, "--data", tmp_path / "own.bin", "--output", tmp_path / "scores")
    assert (code, err) == (0, "")
    assert "own" in out and "accuracy" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--output", "own.bin"),
            "20 people are too few for 6,000 pairs in 10 folds .* Draw at most 240 pairs, half",
        ),
        (("--output", "own", "--folds", 1), "in 1 fold .* or use images of more people"),
        (("--output", "own.bin", "--pairs", 30), "30 pairs in 10 folds: expected .* multiple of 20"),
        (("--output", "own.bin", "--folds", 5), "a .bin file always has 10: give a folder"),
        (("--output", "own", "--folds", 0), "expected at least one fold"),
        (("--output", "own", "--seed", -1, "--pairs", 100), "must not be negative"),
        (("--output", "own.pkl"), "expected a name that ends in .bin, or a folder"),
        (("--output", "full"), "full exists already"),
        (("--output", "folder.bin"), "folder.bin is a folder"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(command, faces, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    for name in ("full", "folder.bin"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    code, out, err = command("make-pairs", faces, *options)
    assert (code, out) == (2, "")
    assert re.search(message, err), err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.bin", "full"]


def test_faces_that_are_not_there(command, tmp_path):
    assert "does not exist" in command("make-pairs", tmp_path / "gone", "--output", tmp_path / "own.bin")[2]
    image = np.zeros((9, 9, 3), np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), image)
    code, _, err = command("make-pairs", tmp_path, "--output", tmp_path / "own.bin")
    assert code == 2 and "as in identity/image.jpg" in err


def test_all_pairs_of_few_people(command, tmp_path):
    write_faces(tmp_path / "faces", range(1, 4), each=4)
    code, out, err = command("make-pairs", tmp_path / "faces", "--output", tmp_path / "own", "--all")
    assert (code, err) == (0, "") and out.startswith("66 pairs, 18 of them genuine of 3 people")
    pairs = open_verification(tmp_path / "own")
    assert len(pairs) == 66 and pairs.folds_K is None and len(pairs.images) == 12
    same_K = pairs.identities_N[pairs.first_K] == pairs.identities_N[pairs.second_K]
    np.testing.assert_array_equal(same_K, pairs.same_K)


def test_so_many_of_each(command, faces, tmp_path):
    options = ["--genuine", 20, "--impostors", 60, "--folds", 2]
    code, out, err = command("make-pairs", faces, "--output", tmp_path / "own", *options)
    assert (code, err) == (0, "") and out.startswith("80 pairs, 20 of them genuine")
    pairs = open_verification(tmp_path / "own")
    assert [int(pairs.same_K[pairs.folds_K == fold].sum()) for fold in range(2)] == [10, 10]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--all", "--pairs", 10], "--all writes every pair"),
        (["--all", "--folds", 2], "--all writes every pair"),
        (["--genuine", 10], "--genuine is given, but --impostors is not"),
        (["--impostors", 10], "--impostors is given, but --genuine is not"),
        (["--genuine", 10, "--impostors", 10, "--pairs", 10], "not both"),
        (["--genuine", 10, "--impostors", 15], "10 genuine and 15 impostor pairs in 10 folds: expected"),
        (["--genuine", 0, "--impostors", 10], "0 genuine and 10 impostor pairs in 10 folds: expected"),
    ],
)
def test_numbers_of_pairs_that_contradict_each_other(command, faces, tmp_path, options, message):
    code, _, err = command("make-pairs", faces, "--output", tmp_path / "own", *options)
    assert code == 2 and message in err and not (tmp_path / "own").exists()


def test_all_pairs_need_a_folder_some_people_and_not_too_many(command, faces, tmp_path, monkeypatch):
    code, _, err = command("make-pairs", faces, "--output", tmp_path / "own.bin", "--all")
    assert code == 2 and "--all makes no folds, but a .bin file always has ten: give a folder" in err
    write_faces(tmp_path / "one", range(1, 2), each=3)
    code, _, err = command("make-pairs", tmp_path / "one", "--output", tmp_path / "own", "--all")
    assert code == 2 and "3 images make 3 genuine and 0 impostor pairs" in err
    monkeypatch.setattr(make_pairs, "_MOST_PAIRS", 3000)
    code, _, err = command("make-pairs", faces, "--output", tmp_path / "own", "--all")
    assert code == 2 and "--all of 80 images are 120 genuine and 3,040 impostor pairs; expected 3,000 or fewer" in err
