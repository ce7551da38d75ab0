"""Features that are computed in pieces, by several processes: those of one process, to the last bit."""

import shutil

import numpy as np
import pytest

from facemargin.data.source import ArrayImages
from facemargin.errors import DataError
from facemargin.features.pieces import MOST_IMAGES, Pieces, piece_size
from facemargin.features.ray_cluster import Pool, plan_pools
from facemargin.features.store import compute_pieces, extract_features, features_key
from tests.features.numbered_images import NumberedImages
from tests.models.tiny_models import tiny_model

BATCH, COUNT, BROKEN = 4, 30, {2, 17, 29}


@pytest.fixture(scope="module")
def model():
    return tiny_model(quality="crfiqa")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """The folder that one process writes."""
    folder = tmp_path_factory.mktemp("whole")
    extract_features(model, NumberedImages(COUNT, BROKEN), folder, batch_size=BATCH)
    return folder


def pieces_of(model, folder, batch_size=BATCH):
    images = NumberedImages(COUNT, BROKEN)
    return Pieces(folder, features_key(model, images), COUNT, model.info.embedding_size, batch_size)


def same_files(folder, whole):
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert files == {file.name: file.read_bytes() for file in whole.iterdir()}


@pytest.mark.parametrize("batch_size", [1, 7, 64, 256, 3000, 5000])
@pytest.mark.parametrize("count", [0, 1, 100, 65_000, 10**6, 4_193_000, 10**9])
def test_pieces_are_whole_batches_neither_too_many_nor_too_large(count, batch_size):
    size = piece_size(count, batch_size)
    assert size % batch_size == 0
    assert size <= max(MOST_IMAGES, batch_size)
    assert -(-count // size) <= max(1100, -(-count // (MOST_IMAGES // 2)))


def test_pieces_in_any_order_are_what_one_process_writes(model, whole, tmp_path):
    pieces = pieces_of(model, tmp_path)
    assert len(pieces.ranges) == 8
    images, told = NumberedImages(COUNT, BROKEN), []
    for part in (pieces.ranges[5:], pieces.ranges[:2], pieces.ranges[2:5]):
        unreadable = compute_pieces(model, images, pieces, part, progress=lambda *at: told.append(at))
        assert set(unreadable) == {index for piece in part for index in piece} & BROKEN
        assert told[-1][0] == told[-1][1] == sum(map(len, part))
    images.reads.clear()
    stored = extract_features(model, images, tmp_path, batch_size=BATCH)
    assert images.reads == []  # nothing is computed again, and what is broken is tried by the next call
    assert stored.unreadable.keys() == BROKEN
    same_files(tmp_path, whole)
    extract_features(model, images, tmp_path, batch_size=BATCH)
    assert images.reads == sorted(BROKEN)


def test_what_is_there_is_skipped_and_what_is_missing_computed(model, whole, tmp_path):
    pieces, images = pieces_of(model, tmp_path), NumberedImages(COUNT, BROKEN)
    compute_pieces(model, images, pieces, [pieces.ranges[number] for number in (0, 1, 4, 7)])
    images.reads.clear()
    compute_pieces(model, images, pieces, pieces.ranges[:3])
    assert images.reads == list(pieces.ranges[2])
    images.reads.clear()
    extract_features(model, images, tmp_path, batch_size=BATCH)
    assert images.reads == [index for number in (3, 5, 6) for index in pieces.ranges[number]]
    same_files(tmp_path, whole)


def test_arrays_that_one_process_began_are_continued_in_pieces(model, whole, tmp_path):
    class StoppedError(Exception):
        pass

    def stop(done, _):
        if done == 12:
            raise StoppedError

    images = NumberedImages(COUNT, BROKEN)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        patch.setattr("facemargin.features.store.SECONDS_A_BLOCK", 0)
        extract_features(model, images, tmp_path, batch_size=BATCH, progress=stop)
    pieces = pieces_of(model, tmp_path)
    images.reads.clear()
    compute_pieces(model, images, pieces, pieces.ranges)
    assert images.reads == list(range(12, COUNT))
    images.broken = set()  # so that trying again what was broken before would change it
    stored = extract_features(model, images, tmp_path, batch_size=BATCH)
    assert stored.unreadable.keys() == BROKEN - {2}
    np.testing.assert_array_equal(stored.norms_N[3:], np.load(whole / "norms.npy")[3:])


def test_a_piece_that_a_killed_process_had_put_into_the_arrays_already_is_deleted(model, whole, tmp_path):
    pieces, images = pieces_of(model, tmp_path), NumberedImages(COUNT, BROKEN)
    compute_pieces(model, images, pieces, pieces.ranges)
    shutil.copytree(tmp_path / "pieces", tmp_path / "kept")
    shutil.move(tmp_path / "kept", tmp_path.parent / "kept_pieces")
    extract_features(model, images, tmp_path, batch_size=BATCH)
    shutil.move(tmp_path.parent / "kept_pieces", tmp_path / "pieces")
    (tmp_path / "pieces" / ".0.npz.17.partial").write_bytes(b"half")
    images.broken = set()
    extract_features(model, NumberedImages(COUNT, BROKEN), tmp_path, batch_size=BATCH)
    same_files(tmp_path, whole)


def test_pieces_of_something_else_are_refused(model, tmp_path):
    pieces, images = pieces_of(model, tmp_path), NumberedImages(COUNT, BROKEN)
    compute_pieces(model, images, pieces, pieces.ranges[:2])
    for refused in (
        lambda: extract_features(model, images, tmp_path, batch_size=5),
        lambda: compute_pieces(model, images, pieces_of(model, tmp_path, 5), pieces.ranges[:1]),
    ):
        with pytest.raises(DataError, match="computed 4 images at a time, not 5: give --batch-size 4, or delete"):
            refused()
    with pytest.raises(DataError, match="has pieces of other images, another model or other views"):
        extract_features(model, images, tmp_path, batch_size=BATCH, views="one")
    (tmp_path / "pieces" / "layout.json").write_text("[1")
    with pytest.raises(DataError, match=r"layout\.json is damaged"):
        extract_features(model, images, tmp_path, batch_size=BATCH)


@pytest.mark.parametrize("damage", ["cut", "other key", "not finite", "shape"])
def test_a_damaged_piece_is_named_and_computed_again_when_it_is_deleted(model, whole, tmp_path, damage):
    pieces, images = pieces_of(model, tmp_path), NumberedImages(COUNT, BROKEN)
    compute_pieces(model, images, pieces, pieces.ranges)
    path = pieces.path(pieces.ranges[3])
    (features_PD, norms_P, quality_P), messages = pieces.read(pieces.ranges[3])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "other key":
        Pieces(tmp_path, "k", COUNT, pieces.size, BATCH).write(pieces.ranges[3], (features_PD, norms_P, quality_P), {})
    else:
        worse = norms_P[:-1] if damage == "shape" else np.where(norms_P > 0, np.float32("nan"), norms_P)
        pieces.write(pieces.ranges[3], (features_PD, worse, quality_P), messages)
    with pytest.raises(DataError, match=rf"{path.name} is damaged .*: delete it, and run the same command again"):
        extract_features(model, images, tmp_path, batch_size=BATCH)
    path.unlink()
    stored = extract_features(model, images, tmp_path, batch_size=BATCH)
    np.testing.assert_array_equal(stored.features_ND, np.load(whole / "features.npy"))


def test_where_no_image_can_be_read_it_is_said(model, tmp_path):
    images = NumberedImages(6, set(range(6)))
    pieces = Pieces(tmp_path, features_key(model, images), 6, model.info.embedding_size, BATCH)
    with pytest.raises(DataError, match=r"none of the first 6 images of numbered can be read; numbered/0\.jpg: broken"):
        compute_pieces(model, images, pieces, pieces.ranges)
    with pytest.raises(DataError, match="none of the first 6 images"):
        extract_features(model, images, tmp_path, batch_size=BATCH)


def test_no_images_are_no_pieces(model, tmp_path):
    images = ArrayImages([])
    pieces = Pieces(tmp_path, features_key(model, images), 0, model.info.embedding_size, BATCH)
    assert pieces.ranges == [] and compute_pieces(model, images, pieces, []) == {}
    assert len(extract_features(model, images, tmp_path, batch_size=BATCH)) == 0
    assert not (tmp_path / "pieces").exists()


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "threads", "readers", "embedders"),
    [
        (1, 0, "cpu", 1, Pool(1, 0.25), Pool(1, 0.75)),
        (2, 0, "cpu", 1, Pool(1, 0.5), Pool(2, 0.75)),
        (2, 0, "cpu", 2, Pool(1, 0.5), Pool(1, 1.5)),
        (64, 0, "cpu", 4, Pool(16, 1.0), Pool(16, 3.0)),
        (64, 8, "cpu", 1, Pool(16, 1.0), Pool(64, 0.75)),
        (16, 1, "cuda", 16, Pool(15, 1.0), Pool(1, 1.0, 1)),
        (128, 8, "cuda", 1, Pool(120, 1.0), Pool(8, 1.0, 1)),
        (2, 4, "cuda", 1, Pool(1, 0.4), Pool(4, 0.4, 1)),
    ],
)
def test_the_processes_of_a_cluster_fit_into_it(cpus, gpus, device, threads, readers, embedders):
    pools = plan_pools(cpus, gpus, device, threads)
    assert (pools.readers, pools.embedders) == (readers, embedders)
    assert readers.size * readers.cpus + embedders.size * embedders.cpus <= cpus + 1e-9
    assert embedders.size * embedders.gpus <= gpus
