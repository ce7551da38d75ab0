"""Shards of pairs, written by WebDataset's own writer."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import webdataset

from facemargin.data.open import open_verification
from facemargin.data.pairs import shards as pair_shards
from facemargin.data.pairs.shards import load_pair_shards
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image

SAME = [True, False, False, True, True, False]


def samples(fields=("img1", "img2"), label=True):
    for number, same in enumerate(SAME):
        key = f"{'genuine' if same else 'impostor'}/{number:06d}" if not label else f"{number:06d}"
        images = [encode(smooth_image(2 * number + second), ".png") for second in (0, 1)]
        yield {"__key__": key, **dict(zip(fields, images, strict=True)), **({"cls": int(same)} if label else {})}


def write(folder, all_samples, suffix=".tar", a_shard=4):
    folder.mkdir(exist_ok=True)
    with webdataset.ShardWriter(f"{folder}/shard-%06d{suffix}", maxcount=a_shard, verbose=0, encoder=False) as writer:
        for sample in all_samples:
            writer.write({key: str(v).encode() if isinstance(v, int) else v for key, v in sample.items()})
    return folder


def assert_holds_the_pairs(pairs):
    np.testing.assert_array_equal(pairs.same_K, SAME)
    assert len(pairs.images) == 12 and pairs.identities_N is None
    for k in range(6):
        np.testing.assert_array_equal(pairs.images.read(pairs.first_K[k]), smooth_image(2 * k))
        np.testing.assert_array_equal(pairs.images.read(pairs.second_K[k]), smooth_image(2 * k + 1))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("fields", [("img1", "img2"), ("jpg", "png")])
@pytest.mark.parametrize("label", [False, True])
def test_both_layouts_with_and_without_labels(tmp_path, suffix, fields, label):
    folder = write(tmp_path / "mine", samples(fields, label), suffix)
    assert len(list(folder.iterdir())) == 2
    pairs = open_verification(folder)
    assert_holds_the_pairs(pairs)
    assert pairs.name == "mine" and "shard-000001.tar" in pairs.images.describe(11)


def test_single_shards_and_patterns(tmp_path):
    folder = write(tmp_path / "mine", samples())
    pairs = open_verification(f"{folder}/shard-{{000000..000001}}.tar")
    assert_holds_the_pairs(pairs)
    assert pairs.name == "shard"
    assert len(open_verification(folder / "shard-000000.tar")) == 4


@pytest.mark.parametrize("order", ["by fold", "by kind"])
def test_every_fold_has_both_kinds(tmp_path, order):
    kinds = [True, False] * 30 if order == "by fold" else [True] * 30 + [False] * 30
    image = encode(smooth_image(0))
    folder = write(
        tmp_path / "mine",
        ({"__key__": f"{n:03d}", "img1": image, "img2": image, "cls": int(same)} for n, same in enumerate(kinds)),
    )
    pairs = load_pair_shards(folder)
    for fold in range(10):
        assert pairs.same_K[pairs.folds_K == fold].tolist().count(True) == 3
        assert (pairs.folds_K == fold).sum() == 6
    if order == "by fold":
        np.testing.assert_array_equal(pairs.folds_K, np.repeat(np.arange(10), 6))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"img1": b"x", "cls": b"1"}, r"sample 7: has cls, img1, expected img1 and img2, or jpg and png"),
        ({"jpg": b"x", "img2": b"x"}, r"sample 7: has img2, jpg"),
        ({"img1": b"x", "img2": b"x", "cls": b"2"}, r"sample 7: cls is '2', expected 1 for the same person or 0"),
        ({"img1": b"x", "img2": b"x", "cls": b"\xff"}, r"sample 7: cls is ''"),
        ({"pyd": b"cos\nsystem\n."}, r"sample 7: has pyd"),
    ],
)
def test_other_samples_are_named(tmp_path, sample, message):
    folder = write(tmp_path / "mine", [*samples(), {"__key__": "7", **sample}])
    with pytest.raises(DataError, match=rf"shard-000001\.tar {message}"):
        open_verification(folder)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_corrupt_image_is_named(tmp_path, suffix):
    first, *rest = samples()
    pairs = open_verification(write(tmp_path / "mine", [first | {"img2": first["img2"][:50]}, *rest], suffix))
    with pytest.raises(CorruptImageError, match=r"shard-000000\.tar.* member 000000\.img2: .*truncated"):
        pairs.images.read(1)
    assert pairs.images.read(2).shape == (40, 40, 3)


def test_too_much_compressed_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(pair_shards, "_LARGEST_UNPACKED", 10**4)
    (tmp_path / "mine").mkdir()
    with gzip.open(tmp_path / "mine" / "a.tar.gz", "wb") as file, tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("genuine/1.img1", "genuine/1.img2"):
            member = tarfile.TarInfo(name)
            member.size = 10**4
            archive.addfile(member, io.BytesIO(bytes(10**4)))
    with pytest.raises(DataError, match=r"compressed shards have .* decompress them with gunzip"):
        open_verification(tmp_path / "mine")


def test_nothing_in_the_shards(tmp_path):
    write(tmp_path / "mine", [])
    with tarfile.open(tmp_path / "mine" / "a.tar", "w"):
        pass
    with pytest.raises(DataError, match="hold no pairs"):
        open_verification(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no shards"):
        load_pair_shards(tmp_path / "empty")


def test_pairs_that_say_nowhere_whether_they_are_genuine_are_refused(tmp_path):
    folder = write(tmp_path / "mine", [{key: one[key] for key in one if key != "cls"} for one in samples()])
    with pytest.raises(
        DataError, match="sample 000000: has neither a cls file nor a folder; expected a cls file with 1"
    ):
        open_verification(folder)
