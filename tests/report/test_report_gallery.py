"""Galleries of faces: what they accept, what is lowest and highest, and that files come back whole."""

import json
from dataclasses import replace

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.report import FaceGallery
from tests.report.report_runs import gallery


def test_saving_and_loading_gives_the_same_gallery(tmp_path):
    saved = gallery(credit="Faces: über «people» & others")
    saved.save(tmp_path / "faces.npz")
    loaded = FaceGallery.load(tmp_path / "faces.npz")
    np.testing.assert_array_equal(loaded.images_NHWC, saved.images_NHWC)
    np.testing.assert_array_equal(loaded.quality_N, saved.quality_N)
    assert (loaded.captions, loaded.credit) == (saved.captions, saved.credit)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 20])
def test_extremes_are_sorted_and_never_show_an_image_twice(count):
    faces = gallery(count) if count else FaceGallery(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), [], "")
    lowest, highest = faces.extremes(4)
    quality = faces.quality_N.tolist()
    assert [quality[i] for i in lowest] == sorted(quality)[: len(lowest)]
    assert [quality[i] for i in highest] == sorted(quality, reverse=True)[: len(highest)]
    assert len({*lowest, *highest}) == len(lowest) + len(highest) == min(count, 8)


@pytest.mark.parametrize(
    ("images", "quality", "captions"),
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.zeros(2), ["a", "b"]),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), ["a", "b"]),
        (np.zeros((2, 0, 4, 3), np.uint8), np.zeros(2), ["a", "b"]),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3), ["a", "b"]),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(2), ["a"]),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, np.nan]), ["a", "b"]),
    ],
)
def test_what_does_not_belong_together_is_refused(images, quality, captions):
    with pytest.raises(DataError):
        FaceGallery(images, quality, captions, "")


def test_the_measure_is_read_as_it_was_written_and_older_files_have_none(tmp_path):
    path = tmp_path / "faces.npz"
    one = replace(gallery(), measure="scores.csv:sharpness")
    one.save(path)
    assert FaceGallery.load(path).measure == "scores.csv:sharpness"
    text = np.array(json.dumps({"captions": one.captions, "credit": one.credit}))
    np.savez(path, images_NHWC=one.images_NHWC, quality_N=one.quality_N, text=text)
    assert FaceGallery.load(path).measure == ""
    with pytest.raises(DataError, match="the measure of a gallery is 3"):
        replace(one, measure=3)


def test_damaged_files_are_named(tmp_path):
    path = tmp_path / "faces.npz"
    gallery().save(path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for damaged in (b"", b"not an archive", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"faces\.npz"):
            FaceGallery.load(path)


def test_pickled_arrays_are_not_loaded(tmp_path):
    path = tmp_path / "faces.npz"
    np.savez(path, images_NHWC=np.array([{}], dtype=object), quality_N=np.zeros(1), text=np.array("{}"))
    with pytest.raises(DataError, match=r"faces\.npz"):
        FaceGallery.load(path)
