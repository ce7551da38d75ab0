"""Every kind of image that a person may have: read rightly, turned as it says, and never dearer than it is."""

import io
import logging
import re
import struct
import subprocess
import sys

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from facemargin.data.images import decode, heic
from facemargin.data.images.av1_size import av1_sides
from facemargin.data.images.decode import decode_image
from facemargin.data.images.frames import holds_several
from facemargin.data.images.kind import image_suffix
from facemargin.data.images.size import stated_pixels
from facemargin.errors import CorruptImageError
from facemargin.files.listing import IMAGE_SUFFIXES, is_image_name
from tests.data.image_kinds import HEIGHT, WIDTH, by_opencv, by_pillow, files, picture

FILES = files(picture())


def error(decoded, expected):
    assert decoded.dtype == np.uint8 and decoded.shape == expected.shape
    return np.abs(decoded.astype(int) - expected).max()


@pytest.mark.parametrize("suffix", FILES)
def test_a_kind_is_found_known_and_read(suffix):
    canonical, encoded, tolerance = FILES[suffix]
    assert is_image_name(f"face{suffix}")
    assert image_suffix(encoded) == canonical and canonical in IMAGE_SUFFIXES
    assert error(decode_image(encoded, "x"), picture()) <= tolerance


@pytest.mark.parametrize("suffix", FILES)
def test_the_size_is_known_before_it_is_read(suffix):
    expected = HEIGHT * WIDTH if FILES[suffix][0] != ".heic" else 64 * 64  # HEVC stores blocks, and says so, too
    assert stated_pixels(FILES[suffix][1]) == expected


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("kept", [0.03, 0.5, 0.95, None])
def test_a_truncated_file_is_corrupt(suffix, kept, capfd):
    encoded = FILES[suffix][1]
    with pytest.raises(CorruptImageError, match=r"folder/face\.x"):
        decode_image(encoded[: len(encoded) - 1 if kept is None else int(kept * len(encoded))], "folder/face.x")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", FILES)
def test_no_beginning_of_a_file_is_a_crash(suffix):
    encoded = FILES[suffix][1]
    for length in range(min(len(encoded), 1500)):
        assert image_suffix(encoded[:length]) in (None, image_suffix(encoded))
        assert stated_pixels(encoded[:length]) in (None, stated_pixels(encoded))
        assert holds_several(encoded[:length]) in (False, holds_several(encoded))


@pytest.mark.parametrize(
    "content", [b"GIF87", b"PF\n4 4\n-1\n", b"P7\nWIDTH 4\n", b"#?RADIANCE\n", b"Y\xa6j\x95" + bytes(60), b"<html>" * 9]
)
def test_other_kinds_are_refused_by_what_they_begin_with(content):
    with pytest.raises(CorruptImageError, match=r"x: not an image of a known format .* expected JPEG, PNG"):
        decode_image(content, "x")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_sixteen_bits_the_upper_eight_are_taken(kind):
    gray = picture()[..., 0]
    encoded = by_opencv(gray.astype(np.uint16) * 257, ".png" if kind == "PNG" else ".tif")
    np.testing.assert_array_equal(decode_image(encoded, "x"), np.repeat(gray[..., None], 3, axis=2))


@pytest.mark.parametrize("white", [100, 255, 1023, 4095, 65535])
def test_white_of_a_pnm_is_what_its_header_says(white):
    gray = picture()[..., 0]
    values = np.rint(gray / 255 * white).astype(np.uint16)
    binary = values.astype(np.uint8 if white < 256 else ">u2").tobytes()
    text = " ".join(map(str, values.ravel())).encode()
    sides = f"{WIDTH} # a comment\n{HEIGHT}\n{white}\n".encode()
    for encoded in (b"P5\n" + sides + binary, b"P2\n" + sides + text + b"\n"):
        found = decode_image(encoded, "x")
        assert error(found, np.repeat(gray[..., None], 3, axis=2)) <= (2 if white == 100 else 1)


def test_deep_and_grey_heic():
    image = picture()
    deep, gray = io.BytesIO(), io.BytesIO()
    pixels = (image.astype(np.uint16) * 257).tobytes()
    pillow_heif.from_bytes("RGB;16", (WIDTH, HEIGHT), pixels).save(deep, quality=100, chroma=444)
    assert error(decode_image(deep.getvalue(), "x"), image) <= 6
    pixels = (image[..., 0].astype(np.uint16) * 257).tobytes()
    pillow_heif.from_bytes("I;16", (WIDTH, HEIGHT), pixels).save(gray, quality=100)
    for encoded in (gray.getvalue(), by_pillow(image[..., 0], "HEIF", "L", quality=100)):
        assert error(decode_image(encoded, "x"), np.repeat(image[..., :1], 3, axis=2)) <= 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "HEIF", "JPEG2000"])
def test_transparency_is_dropped(kind):
    options = {"WEBP": {"lossless": True, "exact": True}, "AVIF": {"quality": 100}, "HEIF": {"quality": 100}}
    clear = np.dstack([picture(), np.full((HEIGHT, WIDTH), 128, np.uint8)])
    decoded = decode_image(by_pillow(clear, kind, "RGBA", **options.get(kind, {})), "x")
    assert error(decoded, picture()) <= (30 if kind in options and kind != "WEBP" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_images_are_turned_as_they_say(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    encoded = by_pillow(picture(), kind, exif=exif.tobytes(), **options.get(kind, {"quality": 100}))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))
    upright = Image.fromarray(picture())
    upright.getexif()[0x0112] = orientation
    assert np.abs(expected.astype(int) - np.asarray(ImageOps.exif_transpose(upright))).mean() < 8  # not merely alike
    assert expected.shape[:2] == ((HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT))
    assert error(decode_image(encoded, "x"), expected) <= 8


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_of_several_pictures_the_first_is_read_and_that_is_said_once(kind, caplog, monkeypatch):
    monkeypatch.setattr(decode, "_said", {})
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}.get(kind, {})
    more = [Image.fromarray(255 - picture()), Image.fromarray(picture(2))]
    one = by_pillow(picture(), kind, **options)
    several = by_pillow(picture(), kind, save_all=True, append_images=more, **options)
    assert (holds_several(one), holds_several(several)) == (False, True)
    with caplog.at_level(logging.WARNING):
        assert decode_image(one, "one").shape == (HEIGHT, WIDTH, 3)
        assert not caplog.messages
        for _ in range(2):
            assert error(decode_image(several, "several"), picture()) <= (60 if kind == "GIF" else 6)
    (message,) = caplog.messages
    assert message.startswith("several contains several pictures, such as frames or pages, of which only the")


def test_without_pillow_heif_the_message_names_the_extra(monkeypatch):
    monkeypatch.setattr(heic, "reads_heic", lambda: False)
    with pytest.raises(CorruptImageError, match=r'x: HEIC is read with pillow-heif: pip install "facemargin\[heif\]"'):
        decode_image(FILES[".heic"][1], "x")


def test_reading_other_kinds_does_not_import_pillow_heif():
    script = (
        "import sys; from facemargin.data.images.decode import decode_image; import cv2, numpy as np;"
        "decode_image(cv2.imencode('.png', np.zeros((4, 4, 3), np.uint8))[1].tobytes(), 'x');"
        "sys.exit('pillow_heif' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def small_file_of(kind, side):
    """A file of a few bytes of one colour."""
    return by_pillow(np.zeros((side, side, 3), np.uint8), kind, **({"speed": 10} if kind == "AVIF" else {}))


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "HEIF"])
def test_small_files_that_are_dear_to_decode_are_refused(kind):
    with pytest.raises(CorruptImageError, match=r"x: the image claims [\d,]+ pixels in only [\d,]+ bytes"):
        decode_image(small_file_of(kind, 2560), "x")
    assert decode_image(small_file_of(kind, 1024), "x").shape == (1024, 1024, 3)


def test_an_avif_is_as_large_as_its_stream_says_not_as_the_file_around_it():
    honest = small_file_of("AVIF", 2560)
    patched = re.sub(rb"(ispe\0\0\0\0).{8}", lambda match: match[1] + struct.pack(">II", 64, 64), honest, flags=re.S)
    assert patched != honest and av1_sides(patched) == [(2560, 2560)]
    assert stated_pixels(patched) == 2560**2


def test_an_animated_avif_is_measured_in_its_track():
    more = [Image.fromarray(picture(2))]
    sides = av1_sides(by_pillow(picture(), "AVIF", save_all=True, append_images=more))
    assert set(sides) == {(WIDTH, HEIGHT)}


def tiff_of(tags):
    """A TIFF with these (tag: value) beside those of a grey image of 64 × 64 pixels."""
    known = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 273: 300, 277: 1, 278: 64, 279: 4096} | tags
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, known[tag]) for tag in sorted(known))
    return b"II*\0" + struct.pack("<IH", 8, len(known)) + entries + bytes(4) + bytes(5000)


@pytest.mark.parametrize("tags", [{256: 1 << 15, 257: 1 << 15}, {322: 1 << 15, 323: 1 << 15}, {277: 65_535}])
def test_a_tiff_that_claims_too_much_is_refused(tags):
    with pytest.raises(CorruptImageError, match=r"x: the image claims [\d,]+ pixels"):
        decode_image(tiff_of(tags), "x")
    assert decode_image(tiff_of({}), "x").shape == (64, 64, 3)


def test_what_does_not_say_its_size_is_not_tried():
    hidden = FILES[".avif"][1].replace(b"ispe", b"free").replace(b"iloc", b"free")
    with pytest.raises(CorruptImageError, match="x: the image does not state its width and height"):
        decode_image(hidden, "x")
