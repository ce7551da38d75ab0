"""The field's sets by name."""

import json
import logging
import pickle
import shutil

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.data.pairs import named_sets
from facemargin.data.pairs.named_sets import set_name
from facemargin.errors import DataError
from tests.data.sample_images import encode, smooth_image

IMAGES = [encode(smooth_image(seed)) for seed in range(4)]


@pytest.fixture(autouse=True)
def no_root(monkeypatch):
    monkeypatch.delenv("FACEMARGIN_DATA", raising=False)


def write_bin(path, num_pairs=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps((IMAGES * (num_pairs // 2), [True, False] * (num_pairs // 2))))


def write_lfw(folder):
    for person, number in (("Ann", 1), ("Ann", 2), ("Bob", 1)):
        (folder / "images" / person).mkdir(parents=True, exist_ok=True)
        (folder / "images" / person / f"{person}_{number:04d}.jpg").write_bytes(IMAGES[number])
    (folder / "pairs.txt").write_text("1\nAnn 1 2\nAnn 1 Bob 1\n")


def write_memmap(folder):
    (folder / "memfile").mkdir(parents=True)
    np.zeros((4, 3, 5, 5), np.float32).tofile(folder / "memfile" / "mem_file.dat")
    (folder / "memfile" / "mem_file.dat.conf").write_text(json.dumps({"shape": [4, 3, 5, 5], "dtype": "float32"}))
    np.save(folder.parent / f"{folder.name}_list.npy", [True, False])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("lfw", "lfw"),
        ("LFW", "lfw"),
        ("CFP-FP", "cfp_fp"),
        ("cfp_ff", "cfp_ff"),
        ("AgeDB-30", "agedb_30"),
        ("some/where/CALFW", "calfw"),
        ("cplfw", "cplfw"),
        ("xqlfw", "xqlfw"),
        ("lfw.bin", None),
        ("lfw2", None),
        ("orl", None),
    ],
)
def test_names_and_their_spellings(name, expected):
    assert set_name(name) == expected


@pytest.mark.parametrize("where", ["root", "current folder", "path"])
def test_every_format_is_found_by_name_and_the_first_of_the_list_counts(tmp_path, monkeypatch, where):
    def opened():
        if where == "root":
            monkeypatch.setenv("FACEMARGIN_DATA", str(tmp_path))
        elif where == "current folder":
            monkeypatch.chdir(tmp_path)
        return open_verification(f"{tmp_path}/lfw" if where == "path" else "LFW")

    write_memmap(tmp_path / "lfw")
    pairs = opened()
    assert pairs.name == "lfw" and pairs.images.read(0).shape == (5, 5, 3)
    write_lfw(tmp_path / "lfw")
    shutil.rmtree(tmp_path / "lfw" / "memfile")
    assert opened().identity_names == ["Ann", "Bob"]
    write_bin(tmp_path / "lfw.bin")
    # The folder that a path names is that folder.
    assert (opened().identity_names is None) == (where != "path")
    shutil.rmtree(tmp_path / "lfw")
    assert opened().identity_names is None


def test_a_training_set_keeps_its_sets_beside_train_rec(tmp_path, monkeypatch):
    write_bin(tmp_path / "faces_emore" / "agedb_30.bin")
    monkeypatch.setenv("FACEMARGIN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="agedb_30 was not found in"):
        open_verification("agedb_30")
    (tmp_path / "faces_emore" / "train.rec").touch()
    assert open_verification("AgeDB-30").name == "agedb_30"
    assert open_verification(f"{tmp_path}/faces_emore/agedb_30").name == "agedb_30"


def test_what_was_looked_for_is_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("FACEMARGIN_DATA", str(tmp_path))
    (tmp_path / "cfp_fp").mkdir()
    with pytest.raises(DataError) as refusal:
        open_verification("cfp_fp")
    looked_for = ("cfp_fp.bin", "cfp_fp.tar", "pairs.txt", "memfile/mem_file.dat")
    for text in (str(tmp_path), *looked_for, "path/to/cfp_fp.bin", "FACEMARGIN_DATA"):
        assert text in str(refusal.value)
    monkeypatch.setenv("FACEMARGIN_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="gone: searched for"):
        open_verification("cfp_fp")


@pytest.mark.parametrize(("published", "folds", "warned"), [(20, 10, False), (22, 10, True), (2, 10, True)])
def test_other_numbers_than_the_published_are_warned_of(tmp_path, monkeypatch, caplog, published, folds, warned):
    monkeypatch.setitem(named_sets.NUM_PAIRS, "lfw", published)
    write_bin(tmp_path / "lfw.bin", 20 if published != 2 else 2)
    with caplog.at_level(logging.WARNING):
        open_verification(f"{tmp_path}/lfw")
    assert [f"the published lfw has {published} in 10" in text for text in caplog.messages] == [True] * warned
