"""What image files say of their size, and what they may claim."""

import struct

import cv2
import numpy as np
import pytest

from facemargin.data.images.decode import decode_image
from facemargin.data.images.size import stated_pixels
from facemargin.errors import CorruptImageError
from tests.data.sample_images import encode, smooth_image

KINDS = {
    ".jpg": [],
    ".png": [],
    ".bmp": [],
    ".pgm": [],
    ".ppm": [],
    ".tiff": [],
    ".gif": [],
    "lossless.webp": [cv2.IMWRITE_WEBP_QUALITY, 101],
    "lossy.webp": [cv2.IMWRITE_WEBP_QUALITY, 50],
    "progressive.jpg": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
}


def write(kind, height, width):
    image = smooth_image(0, height, width)
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if kind == ".pgm" else image
    return cv2.imencode(f".{kind.split('.')[-1]}", pixels, KINDS[kind])[1].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_what_is_decoded(kind):
    for height, width in ((37, 53), (1, 300), (300, 1)):
        assert stated_pixels(write(kind, height, width)) == height * width


@pytest.mark.parametrize("kind", KINDS)
def test_no_beginning_of_a_file_is_a_crash(kind):
    content = write(kind, 37, 53)
    assert {stated_pixels(content[:length]) for length in range(min(len(content), 1000))} <= {None, 37 * 53, 37, 53}


def test_other_kinds_and_other_bytes_say_nothing():
    for content in (
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xda\0\2\xff\xc0\0\x11\x08\1\1\1\1",
        b"P5 x",
        b"RIFF....WEBPVP9 " + bytes(20),
    ):
        assert stated_pixels(content) is None


def test_markers_before_the_frame_are_gone_through_as_libjpeg_does():
    content = encode(smooth_image(0, 37, 53))
    frame = content[content.index(b"\xff\xc0") + 5 :][:4]
    hidden = b"\xff\xe1" + struct.pack(">H", 2 + 9) + b"\xff\xc0\0\x11\x08\xff\xff\xff\xff"  # in an APP1 segment
    assert frame == struct.pack(">HH", 37, 53)
    assert stated_pixels(content[:2] + b"\xff\xff" + hidden[1:] + b"garbage" + content[2:]) == 37 * 53


def claiming(height, width):
    content = bytearray(encode(np.zeros((16, 16, 3), np.uint8)))
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def test_a_small_file_that_claims_to_be_huge_is_refused():
    with pytest.raises(CorruptImageError, match=r"x: the image claims 400,000,000 pixels in only \d+ bytes"):
        decode_image(claiming(20_000, 20_000), "x")


def test_large_pictures_are_read():
    assert decode_image(encode(np.full((4000, 5000, 3), 90, np.uint8)), "x").shape == (4000, 5000, 3)
    assert decode_image(claiming(300, 200), "x").shape == (300, 200, 3)


def test_a_jpeg_of_many_scans_is_refused():
    content = cv2.imencode(".jpg", smooth_image(0), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    scan = content[content.rindex(b"\xff\xda") : -2]
    assert decode_image(content[:-2] + scan * 20 + content[-2:], "x").shape == (40, 40, 3)
    with pytest.raises(CorruptImageError, match=r"x: the JPEG has 2,010 scans"):
        decode_image(content[:-2] + scan * 2000 + content[-2:], "x")
