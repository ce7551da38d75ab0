"""WebDataset shards as webdataset writes them, compressed and not, damaged, hostile, and in training."""

import gzip
import io
import multiprocessing
import os
import pickle
import tarfile

import numpy as np
import pytest
import webdataset
from torch.utils.data import DataLoader

from facemargin.data.formats import block_images
from facemargin.data.formats.webdataset import CompressedShardImages, ShardImages, open_shards, shard_paths
from facemargin.data.open import open_images
from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.data.training_set import TrainingSet
from facemargin.errors import CorruptImageError, DataError
from tests.data.sample_images import encode, smooth_image

IMAGES = [encode(smooth_image(number, 12, 12), ".png") for number in range(30)]
LABELS = [7 * (number % 4) for number in range(30)]


@pytest.fixture
def shards(tmp_path):
    """train-000.tar to train-002.tar with 10 images each."""
    (tmp_path / "set").mkdir()
    for shard in range(3):
        with webdataset.TarWriter(str(tmp_path / "set" / f"train-{shard:03d}.tar")) as writer:
            for number in range(10 * shard, 10 * shard + 10):
                writer.write({"__key__": f"{number:06d}", "png": IMAGES[number], "cls": LABELS[number]})
    return tmp_path / "set"


def compress(folder):
    for path in folder.glob("*.tar"):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    return folder


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def assert_holds_the_images(faces):
    assert len(faces) == 30 and faces.identity_names == ["0", "7", "14", "21"] and not faces.has_names
    assert faces.labels.tolist() == [label // 7 for label in LABELS]
    for index in (29, 0, 11, 10, 3, 25):
        assert faces.read_encoded(index) == IMAGES[index]
        np.testing.assert_array_equal(faces.read(index), smooth_image(index, 12, 12))


def test_uncompressed_shards(shards):
    for location in (shards, f"{shards}/train-{{000..002}}.tar", "::".join(map(str, sorted(shards.glob("*.tar"))))):
        faces = open_images(location)
        assert isinstance(faces, ShardImages) and faces.blocks is None
        assert_holds_the_images(faces)
    assert faces.describe(12) == f"{shards}/train-001.tar member 000012.png"


def test_compressed_shards(shards):
    faces = open_images(compress(shards))
    assert isinstance(faces, CompressedShardImages)
    assert_holds_the_images(faces)
    assert_holds_the_images(open_images(f"{shards}/train-{{000..002}}.tar.gz"))


def test_shards_of_both_kinds_together(shards):
    path = shards / "train-001.tar"
    (shards / "train-001.tar.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert_holds_the_images(open_images(shards))


def test_names_of_people_beside_the_shards(shards):
    (shards / "identities.txt").write_text("".join(f"person {number}\n" for number in range(22)))
    faces = open_images(shards)
    assert faces.identity_names == ["person 0", "person 7", "person 14", "person 21"] and faces.has_names


def test_patterns(tmp_path):
    for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b-1.tar"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in shard_paths(f"{tmp_path}/a-{{08..10}}.tar")] == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert [path.name for path in shard_paths(f"{tmp_path}/a-08.tar::{tmp_path}/b-1.tar")] == ["a-08.tar", "b-1.tar"]
    with pytest.raises(DataError, match=r"shards do not exist: 1 of 4; the first is .*a-11\.tar"):
        shard_paths(f"{tmp_path}/a-{{08..11}}.tar")
    (tmp_path / "empty.tar").mkdir()
    with pytest.raises(DataError, match="holds no shards"):
        open_images(tmp_path / "empty.tar")


@pytest.mark.parametrize("braces", ["{0..99999999}", "{5..3}", "{0..9999}{0..9999}", "{0..1" + "0" * 400 + "}"])
def test_patterns_of_far_too_many_shards_are_refused(braces):
    with pytest.raises(DataError, match="must ascend and name at most 1,000,000 shards"):
        open_images(f"a-{braces}.tar")


@pytest.mark.parametrize(
    "location", ["pipe:touch owned; cat x.tar", "https://host/x.tar", "s3://bucket/a-{0..1}.tar", "file:x.tar"]
)
def test_commands_and_urls_are_refused(location, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="only read from local files"):
        open_images(location)
    assert not list(tmp_path.iterdir())


class Harm:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    harm = pickle.dumps(Harm())
    members = {"0.pyd": harm, "0.pkl": harm, "0.cls": b"1", "0.jpg": IMAGES[0], "1.pyd": harm, "1.cls": harm}
    assert len(open_images(write_tar(tmp_path / "a.tar", members))) == 1
    with pytest.raises(
        DataError, match=r"b\.tar: there are no samples with an image .* pickled samples are never read; found cls"
    ):
        open_images(write_tar(tmp_path / "b.tar", {"0.pyd": harm, "0.cls": b"1"}))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("label", [b"", b" \n", b"\xff", b"x" * 300])
def test_images_without_a_label_are_left_out_and_named(tmp_path, caplog, label):
    members = {"0.jpg": IMAGES[0], "0.cls": b" 3\n", "1.jpg": IMAGES[1], "1.cls": label, "2.jpg": IMAGES[2]}
    faces = open_images(write_tar(tmp_path / "a.tar", members))
    assert faces.identity_names == ["3"] and faces.labels.tolist() == [0]
    assert "because they have no label" in caplog.text and "): 2 (" in caplog.text and "member 1.jpg" in caplog.text


def test_a_corrupt_image_is_named_and_a_cut_shard_keeps_the_rest(tmp_path):
    members = {"0.cls": b"0", "0.jpg": b"nothing", "1.cls": b"0", "1.jpg": IMAGES[1]}
    faces = open_images(write_tar(tmp_path / "a.tar", members))
    with pytest.raises(CorruptImageError, match=r"a\.tar member 0\.jpg: not an image"):
        faces.read(0)
    np.testing.assert_array_equal(faces.read(1), smooth_image(1, 12, 12))


def test_a_compressed_shard_that_changes_while_in_use_is_named(shards):
    faces = open_images(compress(shards))
    path = shards / "train-001.tar.gz"
    path.write_bytes(path.read_bytes()[:2000])
    for index in (19, 15, 18):
        with pytest.raises(CorruptImageError, match=r"train-001\.tar\.gz member 0000\d\d\.png"):
            faces.read(index)
    assert faces.read_encoded(25) == IMAGES[25]


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(block_images, "BLOCK_IMAGES", 2)


def test_an_epoch_goes_once_through_each_compressed_shard(shards, small_blocks, monkeypatch):
    faces = open_images(compress(shards))
    assert len(faces.blocks.starts_K) == 15
    opened = []
    stream = CompressedShardImages._stream
    monkeypatch.setattr(
        CompressedShardImages, "_stream", lambda self, number: opened.append(number) or stream(self, number)
    )
    monkeypatch.setattr(block_images, "BLOCKS_AT_ONCE", 3)
    monkeypatch.setattr("facemargin.data.formats.blocks.BLOCKS_AT_ONCE", 3)
    order = [index for batch in EpochBatchSampler(30, 5, 0, 1, blocks=faces.blocks) for _, index in batch]
    assert sorted(order) == list(range(30)) and order != list(range(30))
    assert [faces.read_encoded(index) for index in order] == [IMAGES[index] for index in order]
    assert sorted(opened) == [0, 1, 2] and len(faces._kept) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_processes_and_a_resumed_run_see_the_same_training(shards, small_blocks, workers):
    faces = open_images(compress(shards))
    faces.read(0)  # its files are open when the workers are forked
    training_set = TrainingSet(faces, 12)

    def batches(**options):
        sampler = EpochBatchSampler(30, 6, 5, 2, blocks=faces.blocks, **options)
        loader = DataLoader(training_set, batch_size=None, sampler=sampler, num_workers=workers)
        return [(batch.indices_B.tolist(), batch.images_BCHW.numpy()) for batch in loader]

    whole = batches()
    for indices, images_BCHW in whole:
        for index, image in zip(indices, images_BCHW, strict=True):
            np.testing.assert_array_equal(image.transpose(1, 2, 0), smooth_image(index, 12, 12))
    assert sorted(index for indices, _ in whole[:5] for index in indices) == list(range(30))
    assert [indices for indices, _ in batches(start_step=3)] == [indices for indices, _ in whole[3:]]
    shares = [batches(rank=rank, processes=2) for rank in range(2)]
    together = [first + second for (first, _), (second, _) in zip(*shares, strict=True)]
    assert together == [indices for indices, _ in whole]


def test_copies_as_synthetic_people_keep_the_blocks(shards, small_blocks):
    faces = open_images(compress(shards))
    people = WithSyntheticIdentities(faces, ["mirrored"])
    assert people.blocks is not None and people.blocks.num_images == 60
    np.testing.assert_array_equal(people.read(31), smooth_image(1, 12, 12)[:, ::-1])


@pytest.mark.parametrize("compressed", [False, True])
def test_processes_and_pickled_copies_read_the_same(shards, compressed):
    faces = open_shards(compress(shards) if compressed else shards)
    faces.read(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(faces.read_encoded, range(30), chunksize=15) == IMAGES
    copy = pickle.loads(pickle.dumps(faces))
    assert [copy.read_encoded(index) for index in range(30)] == IMAGES
