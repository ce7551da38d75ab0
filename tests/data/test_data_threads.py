"""Sources that say that they are threadsafe give to several threads at once what they give to one."""

import gzip
import logging
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

import facemargin as fm
from facemargin.commands._face_source import FaceSource
from facemargin.data.conversion import convert
from facemargin.data.formats import block_images
from facemargin.data.images.decode import decode_image
from facemargin.data.source import ImageSource, ImageSubset
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.data.writers import WRITERS
from facemargin.errors import CorruptImageError
from facemargin.quality.degradation import DegradedImages
from facemargin.quality.degradation_kinds import DegradedByKinds
from tests.data.conversion_progress import no_progress
from tests.data.sample_images import encode, smooth_image

THREADS = 8
FACES = fm.open_images("orl:1-3")


@pytest.fixture(autouse=True)
def often():
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def assert_threads_read_what_one_reads(images: ImageSource) -> None:
    assert images.threadsafe
    order = [*range(len(images)), *reversed(range(len(images)))]
    expected = [images.read(index) for index in range(len(images))]
    with ThreadPoolExecutor(THREADS) as executor:
        for index, found in zip(order, executor.map(images.read, order), strict=True):
            np.testing.assert_array_equal(found, expected[index])


@pytest.mark.parametrize("to", list(WRITERS))
def test_every_format(to, tmp_path, monkeypatch):
    monkeypatch.setattr(block_images, "BLOCK_IMAGES", 4)
    convert(FACES, tmp_path / "set", to, no_progress)
    assert_threads_read_what_one_reads(fm.open_images(tmp_path / "set"))


def test_compressed_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(block_images, "BLOCK_IMAGES", 4)
    convert(FACES, tmp_path / "set", "webdataset", no_progress)
    (shard,) = (tmp_path / "set").glob("*.tar")
    (tmp_path / "packed.tar.gz").write_bytes(gzip.compress(shard.read_bytes()))
    assert_threads_read_what_one_reads(fm.open_images(tmp_path / "packed.tar.gz"))


@pytest.mark.parametrize(
    "images",
    [
        FACES,
        ImageSubset(FACES, [4, 1, 1]),
        DegradedImages(FACES, 0),
        DegradedByKinds(FACES, ["noise", "jpeg"], 0.5, 0),
        WithSyntheticIdentities(FACES, ["mirrored"]),
    ],
)
def test_what_is_made_of_other_images(images):
    assert_threads_read_what_one_reads(images)


def test_what_cannot_be_read_by_threads_stays_so():
    class Plain(type(FACES)):
        pass

    faces = Plain([1])
    faces.threadsafe = False
    for images in (ImageSubset(faces, [0]), DegradedImages(faces, 0), WithSyntheticIdentities(faces, ["negative"])):
        assert not images.threadsafe
    assert not FaceSource(faces, detect=False).threadsafe


def test_every_image_is_counted(capsys):
    images = FaceSource(fm.open_images("orl-full:1-40"), detect=False)
    assert_threads_read_what_one_reads(images)
    images.warn()
    assert "warning: 400 of 1,200 images were squashed to a square" in capsys.readouterr().err


def test_opencv_is_as_loud_as_before():
    level = cv2.utils.logging.getLogLevel()
    assert level != cv2.utils.logging.LOG_LEVEL_SILENT
    good = encode(smooth_image(0, 12, 12), ".png")
    damaged = good[:60] + bytes(20) + good[80:]

    def decode(number):
        try:
            decode_image(damaged if number % 2 else good, "image")
        except CorruptImageError:
            return 1
        return 0

    with ThreadPoolExecutor(THREADS) as executor:
        assert sum(executor.map(decode, range(400))) == 200
    assert cv2.utils.logging.getLogLevel() == level


def test_several_pictures_in_a_file_are_said_once(caplog, monkeypatch):
    from facemargin.data.images import decode

    monkeypatch.setattr(decode, "_said", {})
    monkeypatch.setattr(decode, "holds_several", lambda encoded: True)
    encoded = encode(smooth_image(0, 12, 12), ".png")
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(lambda number: decode_image(encoded, f"image {number}"), range(100)))
    assert len(caplog.messages) == 1
