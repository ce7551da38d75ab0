"""Verification sets as .bin files and as folders, written and read again by us and by others."""

import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from facemargin.data.open import open_verification
from facemargin.data.pairs.csv_list import write_pairs_folder
from facemargin.data.pairs.insightface_bin import EncodedImages, load_bin
from facemargin.data.pairs.insightface_bin_writer import write_bin
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.data.source import ArrayImages
from facemargin.errors import CorruptImageError, DataError, OutputError
from tests.data.image_kinds import files, picture
from tests.data.sample_images import encode, smooth_image
from tests.systems import posix_only

ENCODED = [encode(smooth_image(seed), suffix) for seed, suffix in enumerate((".jpg", ".png", ".bmp", ".webp", ".pgm"))]


@pytest.fixture
def pairs():
    """Image 3 is in no pair, image 0 in all."""
    return VerificationSet(
        name="mine",
        images=EncodedImages(ENCODED, "made up"),
        first_K=np.array([0, 0, 0]),
        second_K=np.array([1, 4, 2]),
        same_K=np.array([True, False, True]),
        folds_K=np.array([4, 4, 2]),
        identities_N=np.array([1, 1, 1, 0, 0]),
        identity_names=['Ann "Lee", Jr.', "Bob\nvan Dyk"],
    )


def test_a_bin_file_is_what_pickle_says_it_is(pairs, tmp_path):
    done = []
    write_bin(pairs, tmp_path / "mine.bin", lambda number, total: done.append((number, total)))
    images, same = pickle.loads((tmp_path / "mine.bin").read_bytes(), encoding="bytes")
    assert images == [ENCODED[0], ENCODED[1], ENCODED[0], ENCODED[4], ENCODED[0], ENCODED[2]]
    assert same == [True, False, True]
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert (tmp_path / "mine.bin").stat().st_size < sum(map(len, ENCODED)) + 100  # each image once


def test_a_bin_file_read_again(pairs, tmp_path):
    write_bin(pairs, tmp_path / "mine.bin")
    again = load_bin(tmp_path / "mine.bin")
    assert len(again.images) == 4
    np.testing.assert_array_equal(again.same_K, pairs.same_K)
    for k in range(3):
        for ours, theirs in ((again.first_K, pairs.first_K), (again.second_K, pairs.second_K)):
            assert again.images.read_encoded(ours[k]) == pairs.images.read_encoded(theirs[k])
    np.testing.assert_array_equal(again.folds_K, contiguous_folds(3))


def test_a_folder_read_again_keeps_folds_and_people(pairs, tmp_path):
    write_pairs_folder(pairs, tmp_path / "set")
    again = open_verification(tmp_path / "set")
    assert again.name == "set" and len(again.images) == 4
    for ours, theirs in (
        (again.same_K, pairs.same_K),
        (again.folds_K, pairs.folds_K),
        (again.identities_N[again.second_K], pairs.identities_N[pairs.second_K]),
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert again.identity_names == ['Ann "Lee", Jr.', "Bob van Dyk"]
    for k in range(3):
        assert again.images.read_encoded(again.second_K[k]) == pairs.images.read_encoded(pairs.second_K[k])
    files = sorted(path.name for path in (tmp_path / "set" / "images").iterdir())
    assert files == ["000000.jpg", "000001.png", "000002.bmp", "000004.pgm"]


def test_a_folder_without_folds_and_people(pairs, tmp_path):
    images = ArrayImages([smooth_image(seed) for seed in range(5)])
    plain = replace(pairs, images=images, folds_K=None, identities_N=None, identity_names=None)
    write_pairs_folder(plain, tmp_path / "set")
    again = open_verification(tmp_path / "set")
    assert again.folds_K is None and again.identities_N is None
    np.testing.assert_array_equal(again.images.read(0), images.read(0))
    np.testing.assert_array_equal(again.images.read(int(again.second_K[2])), images.read(2))


@pytest.mark.parametrize("write", [write_bin, write_pairs_folder])
def test_an_image_that_cannot_be_had_leaves_nothing_behind(pairs, tmp_path, write):
    def read_encoded(index):
        raise CorruptImageError("record 7 is corrupt")

    pairs.images.read_encoded = read_encoded
    with pytest.raises(CorruptImageError, match="record 7"):
        write(pairs, tmp_path / "mine.bin")
    assert list(tmp_path.iterdir()) == []


def test_an_image_of_no_known_kind_is_named(pairs, tmp_path):
    broken = replace(pairs, images=EncodedImages([b"<html>", *ENCODED[1:]], "made up"))
    with pytest.raises(CorruptImageError, match="made up image 0: not an image of a known format"):
        write_pairs_folder(broken, tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(pairs, tmp_path):
    (tmp_path / "set").mkdir()
    write_pairs_folder(pairs, tmp_path / "set")  # an empty one may be used
    with pytest.raises(DataError, match="set exists already"):
        write_pairs_folder(pairs, tmp_path / "set")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file exists already"):
        write_pairs_folder(pairs, tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot write .*file/set"):
        write_pairs_folder(pairs, tmp_path / "file" / "set")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "set"]


@posix_only
@pytest.mark.parametrize("write", [write_bin, write_pairs_folder])
def test_a_full_disk_leaves_earlier_output_intact(pairs, tmp_path, write):
    """The limit on the size of files stands for the full disk."""
    import resource

    target = tmp_path / "out" / "mine.bin"
    if write is write_bin:
        write(pairs, target)
        before = target.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, limit[1]))
        with pytest.raises(OutputError, match=r"cannot write .*mine\.bin"):
            write(pairs, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    if write is write_bin:
        assert target.read_bytes() == before and list((tmp_path / "out").iterdir()) == [target]
    else:
        assert list((tmp_path / "out").iterdir()) == []


def test_python_without_facemargin_reads_the_file(pairs, tmp_path):
    write_bin(pairs, tmp_path / "mine.bin")
    code = "import pickle, sys; print([len(part) for part in pickle.load(open(sys.argv[1], 'rb'), encoding='bytes')])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, tmp_path / "mine.bin"], capture_output=True, text=True, timeout=900
    )
    assert done.stdout == "[6, 3]\n", done.stderr


@pytest.mark.parametrize("name", ["rare.bin", "rare"])
def test_rare_kinds_become_png_and_are_counted(tmp_path, name, caplog):
    encoded = [encoded for _, encoded, _ in files(picture()).values()]
    images = EncodedImages(encoded, "rare ones")
    first_K, second_K = np.arange(len(encoded) - 1), np.arange(1, len(encoded))
    written = VerificationSet("rare", images, first_K, second_K, first_K % 2 == 0)
    (write_bin if name.endswith(".bin") else write_pairs_folder)(written, tmp_path / name)
    read = open_verification(str(tmp_path / name))
    for ours, theirs in zip(read.first_K, first_K, strict=True):
        np.testing.assert_array_equal(read.images.read(int(ours)), images.read(int(theirs)))
    assert caplog.messages == [
        "rare: 11 images are in a format that few programs read (TIFF, GIF, HEIC, …) and written as PNG, which is "
        "lossless"
    ]
