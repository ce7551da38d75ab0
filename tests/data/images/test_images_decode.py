"""Decoding: right pixels for whole files, an error that names the place for everything else."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facemargin.data.images.decode import _is_truncated, _num_scans, decode_image
from facemargin.errors import CorruptImageError
from tests.data.sample_images import encode, smooth_image

SUFFIXES = [".jpg", ".png", ".bmp", ".webp", ".pgm"]


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_lossless_formats_come_back_exactly_and_in_rgb(suffix):
    image = smooth_image(0)
    np.testing.assert_array_equal(decode_image(encode(image, suffix), "here"), image)


def test_grey_images_get_three_equal_channels():
    decoded = decode_image(encode(smooth_image(0), ".pgm"), "here")
    assert decoded.shape == (40, 40, 3) and decoded.dtype == np.uint8
    assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30, "subsampling": 2}])
def test_pillows_jpegs_decode_as_pillow_decodes_them(options):
    buffer = io.BytesIO()
    Image.fromarray(smooth_image(1)).save(buffer, "JPEG", **options)
    ours = decode_image(buffer.getvalue(), "here").astype(int)
    theirs = np.asarray(Image.open(buffer).convert("RGB")).astype(int)
    assert np.abs(ours - theirs).max() <= 2


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kept", [0.0, 0.03, 0.5, 0.95, None])
def test_a_truncated_file_is_corrupt_and_says_where_and_nothing_else(suffix, kept, capfd):
    encoded = encode(smooth_image(2), suffix)
    length = len(encoded) - 1 if kept is None else int(kept * len(encoded))
    with pytest.raises(CorruptImageError, match=r"folder/face\.x"):
        decode_image(encoded[:length], "folder/face.x")
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_without_its_end_marker_is_corrupt_even_with_a_whole_thumbnail_in_it():
    whole, thumbnail = encode(smooth_image(3)), encode(smooth_image(3, 8, 8))
    comment = b"\xff\xfe" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + comment + whole[2:]
    np.testing.assert_array_equal(decode_image(with_thumbnail, "here"), decode_image(whole, "here"))
    with pytest.raises(CorruptImageError, match="truncated"):
        decode_image(with_thumbnail[:-2], "here")


def test_bytes_after_the_end_are_allowed():
    whole = encode(smooth_image(4))
    np.testing.assert_array_equal(decode_image(whole + b"\0" * 100, "here"), decode_image(whole, "here"))


@given(st.binary(max_size=300))
def test_garbage_is_corrupt(garbage):
    with pytest.raises(CorruptImageError, match="record 17"):
        decode_image(garbage, "record 17")


def test_opencvs_own_log_level_survives():
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_WARNING)
    try:
        with pytest.raises(CorruptImageError):
            decode_image(b"garbage", "here")
        assert cv2.utils.logging.getLogLevel() == cv2.utils.logging.LOG_LEVEL_WARNING
    finally:
        cv2.utils.logging.setLogLevel(level)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([b"\xff\xda", b"\xff\xd9", b"\xff", b"\xda", b"ab"]), max_size=12))
def test_scans_and_the_end_are_found_as_by_counting(parts):
    encoded = b"\xff\xd8" + b"".join(parts)
    assert _num_scans(encoded) == encoded.count(b"\xff\xda")
    assert _is_truncated(encoded) == (encoded.rfind(b"\xff\xd9") <= encoded.rfind(b"\xff\xda"))
