"""What a run may go on with, and what not: other people or images, more epochs, a training set in another place."""

import logging
import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from facemargin.cli import main
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.open import open_images
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.errors import CheckpointError, ConfigError, DataError
from facemargin.training.checkpoint import latest_checkpoint
from facemargin.training.data_fingerprint import DataFingerprint, sampled
from facemargin.training.trainer import train
from facemargin.training.training_images import limited_indices, open_training_images
from tests.training.run_process import rows
from tests.training.training_objects import MAPPING, tiny_recipe

PEOPLE, EACH = 4, 4


@pytest.fixture
def faces(tmp_path):
    """p01 … p04, four images each."""
    images = EmbeddedFaces(range(1, PEOPLE + 1))
    for person in range(PEOPLE):
        folder = tmp_path / "faces" / f"p{person + 1:02d}"
        folder.mkdir(parents=True)
        for number in range(EACH):
            cv2.imwrite(str(folder / f"{number:02d}.png"), images.read(10 * person + number))
    return tmp_path / "faces"


def recipe(faces, epochs=1, **changes):
    data = {"train": str(faces), "workers": 0, **changes.pop("data", {})}
    return tiny_recipe(**{"data": data, "epochs": epochs, "schedule": {"milestones": [2.0]}, **changes})


def go(faces, output, console=None, resume=False, **changes):
    assert train(recipe(faces, **changes), output, resume, console or Console(quiet=True))
    return latest_checkpoint(output / "checkpoints")[1]


def swap(faces):
    (faces / "p01").rename(faces / "t")
    (faces / "p02").rename(faces / "p01")
    (faces / "t").rename(faces / "p02")


CHANGES = {
    "rename": (
        lambda faces: (faces / "p01").rename(faces / "zz"),
        r"new: 1 person \(zz\); missing: 1 person \(p01\)",
    ),
    "swap": (
        swap,
        r"8 of 16 images compared have other content: \S+faces/p01/00.png, .* and 3 more",
    ),
    "add_image": (
        lambda faces: shutil.copy(faces / "p01" / "00.png", faces / "p01" / "aa.png"),
        r"another number of images of p01 \(4 before, 5 now\)",
    ),
    "add_person": (lambda faces: shutil.copytree(faces / "p01", faces / "aaa"), r"new: 1 person \(aaa\)"),
    "remove_people": (
        lambda faces: [shutil.rmtree(faces / name) for name in ("p01", "p03")],
        r"missing: 2 people \(p01, p03\)",
    ),
    "order": (
        lambda faces: (faces / "p01" / "00.png").rename(faces / "p01" / "zz.png"),
        "4 of 16 images compared have other content",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_does_not_go_on_with_other_people_or_images(faces, tmp_path, change):
    go(faces, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    alter, message = CHANGES[change]
    alter(faces)
    with pytest.raises(ConfigError, match=message):
        go(faces, tmp_path / "run", resume=True, epochs=2)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_training_set_that_moved_is_the_same_and_the_run_goes_on_bit_for_bit(faces, tmp_path):
    whole = go(faces, tmp_path / "whole", epochs=3)
    go(faces, tmp_path / "run", epochs=1)
    moved = tmp_path / "elsewhere" / "they are here"
    moved.parent.mkdir()
    faces.rename(moved)
    resumed = go(moved, tmp_path / "run", resume=True, epochs=3)
    assert resumed["step"] == whole["step"] == 6
    for key, value in whole["recogniser"].items():
        assert torch.equal(value, resumed["recogniser"][key]), key
    assert torch.equal(whole["rows"]["weight"], resumed["rows"]["weight"])


def test_what_more_epochs_mean_for_the_schedule_is_said(faces, tmp_path):
    for schedule, expected in (
        ({"name": "step", "milestones": [2.0]}, "epochs 1 -> 3: the step schedule goes on as it was, with its milest"),
        ({"name": "cosine"}, "the cosine schedule now falls over 3 epochs, so that the learning rate goes on at 0.075"),
    ):
        output = tmp_path / schedule["name"]
        go(faces, output, schedule=schedule)
        with (console := Console(width=400)).capture() as said:
            go(faces, output, console, resume=True, epochs=3, schedule=schedule)
        assert expected in said.get()
        assert [row["step"] for row in rows(output / "metrics.csv")] == ["2", "6"]


def test_fewer_epochs_than_are_done_are_refused(faces, tmp_path):
    go(faces, tmp_path / "run", epochs=2)
    with pytest.raises(ConfigError, match=r"epochs is 1, 2 steps, but the run is at step 4 .*expected at least 2"):
        go(faces, tmp_path / "run", resume=True, epochs=1)


def test_other_fields_must_still_be_the_same(faces, tmp_path):
    go(faces, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"Different: batch_size \(8 -> 4\)"):
        go(faces, tmp_path / "run", resume=True, epochs=2, batch_size=4)


def without_fingerprint(output):
    path, state = latest_checkpoint(output / "checkpoints")
    del state["training_set"]
    torch.save(state, path)


def test_a_checkpoint_of_an_earlier_version_goes_on_with_a_warning(faces, tmp_path, caplog):
    go(faces, tmp_path / "run")
    without_fingerprint(tmp_path / "run")
    with caplog.at_level(logging.WARNING):
        go(faces, tmp_path / "run", resume=True, epochs=2)
    assert "does not say which people and images it was trained on" in caplog.text
    without_fingerprint(tmp_path / "run")
    faces.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match="name them as before"):
        go(tmp_path / "moved", tmp_path / "run", resume=True, epochs=3)


def test_a_damaged_fingerprint_is_said(faces, tmp_path):
    go(faces, tmp_path / "run")
    path, state = latest_checkpoint(tmp_path / "run" / "checkpoints")
    torch.save({**state, "training_set": {"people": 3}}, path)
    with pytest.raises(CheckpointError, match="does not say what it was trained on"):
        go(faces, tmp_path / "run", resume=True, epochs=2)


def many(number, changed=()):
    """Tiny images of 10 people, those of the indices `changed` other ones."""
    pixels = np.zeros((number, 2, 2, 3), np.uint8)
    pixels[..., 0].reshape(number, -1)[:, :2] = np.arange(number)[:, None] // [1, 256] % 256
    for index in changed:
        pixels[index] = 255
    return WithLabels(ArrayImages(pixels), np.arange(number) % 10, [f"person {n}" for n in range(10)])


def test_of_a_large_set_a_sample_is_compared():
    before = DataFingerprint.of(many(5000))
    chosen = sampled(5000)
    assert len(set(chosen.tolist())) == 1024 and chosen.min() < 20 and chosen.max() > 4980
    before.require_same(DataFingerprint.of(many(5000)), many(5000))
    other = next(index for index in range(5000) if index not in chosen)
    before.require_same(DataFingerprint.of(many(5000, [other])), many(5000))  # what the docs say is not seen
    with pytest.raises(ConfigError, match=rf"1 of 1024 images compared have other content: arrays: image {chosen[7]}"):
        before.require_same(DataFingerprint.of(many(5000, [chosen[7]])), many(5000))


def test_another_order_of_the_same_people_is_seen():
    images = many(5000)
    before = DataFingerprint.of(images)
    images.labels = images.labels[::-1].copy()
    with pytest.raises(ConfigError, match="their images come in another order"):
        before.require_same(DataFingerprint.of(images), images)


def test_one_person_is_refused_and_the_level_named(faces, tmp_path):
    above = tmp_path / "above"
    above.mkdir()
    faces.rename(above / "faces")
    with pytest.raises(DataError, match=r"path is one level too high: .*above/faces contains folders with images"):
        open_training_images(recipe(above))
    shutil.copy(above / "faces" / "p01" / "00.png", above / "faces" / "cover.png")
    with pytest.raises(DataError, match=r"the one image is of one person \(faces\).*too high: \S+ holds 4 folders"):
        open_training_images(recipe(above))


def test_one_persons_folder_is_refused_and_what_is_expected_said(faces):
    for name in ("p02", "p03", "p04"):
        shutil.rmtree(faces / name)
    with pytest.raises(DataError, match=r"all 4 images are of one person \(p01\), .* one level too high or hold"):
        open_training_images(recipe(faces))


def test_one_person_is_enough_where_others_are_made_or_nobody_is_recognised(faces):
    for name in ("p02", "p03", "p04"):
        shutil.rmtree(faces / name)
    with pytest.raises(DataError, match="one person"):
        open_training_images(recipe(faces))
    open_training_images(recipe(faces, data={"synthetic_identities": ["negative"]}))
    open_training_images(recipe(faces, reconstruction={"mode": "alone"}))


def test_labels_of_images_instead_of_people_are_warned_of(faces, caplog):
    for path in faces.glob("p*/0[1-3].png"):
        path.unlink()
    open_training_images(recipe(faces))
    assert "each of the 4 people has a single image" in caplog.text


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ([3, 3, 3], 6, [3, 3]),
        ([3, 3, 3], 8, [3, 3]),
        ([3, 3, 3], 9, [3, 3, 3]),
        ([3, 3, 3], 4, [2, 2]),
        ([100, 100], 10, [5, 5]),
        ([1, 100], 10, [1, 9]),
        ([100, 1], 10, [9, 1]),
        ([2, 100, 2], 7, [2, 5]),
        ([2, 2, 100], 7, [2, 2]),
        ([0, 4, 0, 4, 4], 5, [2, 3]),
        ([5], 3, [3]),
        ([5, 5], 1, [0, 1]),
    ],
)
def test_a_limit_takes_whole_people_and_two_at_least(counts, limit, expected):
    labels = np.repeat(np.arange(len(counts)), counts)
    for order in (np.arange(len(labels)), np.random.default_rng(0).permutation(len(labels))):
        indices = limited_indices(labels[order], limit)
        assert (np.diff(indices) > 0).all()
        taken = np.bincount(labels[order][indices], minlength=len(counts))
        assert [int(n) for n in taken if n] == [n for n in expected if n], taken


def test_a_limit_of_one_image_is_refused(faces):
    with pytest.raises(ConfigError, match=r"data\.limit is 1, one image of one person: expected at least 2, or 0"):
        open_training_images(recipe(faces, data={"limit": 1}))
    assert len(open_training_images(recipe(faces, data={"limit": 1}, reconstruction={"mode": "alone"}))) == 1


@pytest.mark.slow
@pytest.mark.long
def test_limit_is_a_smoke_test_of_train_and_compare(faces, tmp_path, capsys, monkeypatch, forked_runs):
    monkeypatch.setenv("COLUMNS", "200")

    def run_here(*arguments):
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**MAPPING, "data": {"train": str(faces), "workers": 0}}))
    small = ("--limit", "8", "--epochs", "1")
    code, out, err = run_here("train", path, "--output", tmp_path / "run", *small)
    assert code == 0, err
    assert "data.limit 8: training on 8 of 16 images, of 2 of 4 people" in out
    assert latest_checkpoint(tmp_path / "run" / "checkpoints")[1]["num_classes"] == 2
    code, out, err = run_here("train", path, "--output", tmp_path / "run", "--epochs", "1", "--resume")
    assert code == 2 and "data.limit (8 -> 0)" in err
    code, out, err = run_here("train", path, "--output", tmp_path / "few", "--limit", "3")
    assert code == 2 and "batch_size 8 is larger than the training set of 3 images" in err
    arguments = ("--heads", "cosface", "--seeds", "1", "--data", "orl:31-32", "--output", tmp_path / "compared")
    code, out, err = run_here("compare", path, *arguments, *small)
    assert code == 0, out + err
    assert "training on 8 of 16 images" in out
    code, out, err = run_here("compare", path, *arguments, "--limit", "8", "--epochs", "2")
    assert code == 2 and "epochs (1 -> 2)" in err


def test_a_set_in_another_format_with_the_same_bytes_is_the_same_set(faces, tmp_path):
    listing = tmp_path / "list.txt"
    images = open_images(faces)
    lines = [f"{images.describe(i)}\t{images.identity_names[images.labels[i]]}" for i in range(len(images))]
    listing.write_text("\n".join(lines))
    DataFingerprint.of(images).require_same(DataFingerprint.of(open_images(listing)), images)


def test_images_that_will_be_squashed_are_warned_of(faces, caplog):
    path = faces / "p01" / "00.png"
    image = cv2.imread(str(path))
    cv2.imwrite(str(path), image[: image.shape[0] // 2])
    open_training_images(recipe(faces))
    assert "1 of the 16 images looked at is not square" in caplog.text and "facemargin align" in caplog.text
