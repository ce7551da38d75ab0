"""Images in every form in which people have them: read rightly, or refused with what to pass."""

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from facemargin.data.formats.image_files import read_image_file
from facemargin.data.given_images import given_images, one_image
from facemargin.errors import DataError
from tests.clips import write_video

RGB = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
GRAY = RGB[:, :, 0]


def write(path, image=RGB):
    cv2.imwrite(str(path), image[:, :, ::-1] if image.ndim == 3 else image)
    return path


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (lambda folder: RGB, RGB),
        (lambda folder: RGB[:, ::-1], RGB[:, ::-1]),
        (lambda folder: torch.from_numpy(RGB), RGB),
        (lambda folder: Image.fromarray(RGB), RGB),
        (lambda folder: Image.fromarray(RGB).convert("RGBA"), RGB),
        (lambda folder: Image.fromarray(GRAY), np.stack([GRAY] * 3, 2)),
        (lambda folder: GRAY, np.stack([GRAY] * 3, 2)),
        (lambda folder: GRAY[:, :, None], np.stack([GRAY] * 3, 2)),
        (lambda folder: write(folder / "a.png"), RGB),
        (lambda folder: str(write(folder / "a.png")), RGB),
        (lambda folder: write(folder / "a.png").read_bytes(), RGB),
        (lambda folder: bytearray(write(folder / "a.png").read_bytes()), RGB),
        (lambda folder: memoryview(write(folder / "a.png").read_bytes()), RGB),
        (lambda folder: Image.fromarray(GRAY.astype(np.uint16) * 257), np.stack([GRAY] * 3, 2)),
    ],
)
def test_what_can_be_told_is_read(tmp_path, form, expected):
    image = form(tmp_path)
    np.testing.assert_array_equal(one_image(image), expected)
    for several in (image, [image, image], (image,), iter([image])):
        source = given_images(several)
        for index in range(len(source)):
            found = source.read(index)
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, expected)
        assert len(source) == (2 if isinstance(several, list) else 1)


def test_an_open_file_is_read(tmp_path):
    path = write(tmp_path / "a.png")
    with path.open("rb") as file:
        np.testing.assert_array_equal(one_image(file), RGB)
    with path.open("rb") as file:
        source = given_images([file, path, io.BytesIO(path.read_bytes())])
        for index in range(3):
            np.testing.assert_array_equal(source.read(index), RGB)
    with path.open("rb") as file:
        assert len(given_images(file)) == 1
    (tmp_path / "a.txt").write_text("text")
    with (tmp_path / "a.txt").open() as file, pytest.raises(DataError, match=r"read text: open it to read bytes"):
        one_image(file)


def test_a_pil_image_of_16_bits_is_that_of_its_file(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(120, dtype=np.uint16).reshape(12, 10) * 500)
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(one_image(picture), read_image_file(tmp_path / "a.png"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("https://example.com/a.jpg", "address .URL.: nothing is downloaded; save the image as a file first"),
        ("file:///a.jpg", "address"),
        ("data:image/png;base64,AAAA", "address"),
        ("~/nowhere.jpg", "~ is a folder for the shell only"),
        ("nowhere/*.jpg", "A pattern is not expanded"),
        ("", "is an empty text, expected a path"),
    ],
)
def test_a_text_that_is_no_path_is_explained(text, message):
    with pytest.raises(DataError, match=message):
        one_image(text)


def test_a_video_in_place_of_an_image_is_named(tmp_path):
    path = write_video(tmp_path / "a.mp4", [np.zeros((32, 32, 3), np.uint8)] * 3)
    with pytest.raises(
        DataError, match=r"a\.mp4: is a video \(MP4 or QuickTime\), expected an image: with --video facemargin embed"
    ):
        one_image(path)


@pytest.mark.parametrize("form", [np.asarray, torch.from_numpy])
def test_an_array_of_several_is_several(form):
    images = np.stack([RGB, RGB[::-1]])
    source = given_images(form(images))
    assert len(source) == 2
    np.testing.assert_array_equal(source.read(1), RGB[::-1])
    assert source.describe(1) == "the given images: image 1"


def test_a_picture_of_pil_is_turned_as_a_file_is(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # a camera held upright
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as picture:
        found = one_image(picture)
    assert found.shape == (10, 12, 3)
    np.testing.assert_array_equal(found, read_image_file(tmp_path / "a.png"))


FLOATS = RGB / np.float32(255)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (FLOATS, r"float32 of shape \(12, 10, 3\).*0…1, pass \(255 \* image\)\.round\(\)\.astype\(numpy\.uint8\)"),
        (torch.from_numpy(FLOATS), "float32.*0…1"),
        (torch.from_numpy(FLOATS).bfloat16(), "float32.*0…1"),
        (RGB.astype(np.float64), r"float64.*if they mean 0…255, pass image\.round\(\)"),
        (2 * FLOATS - 1, "from -1 to 1: scale them to 0…255 first"),
        (RGB.astype(np.uint16) * 257, "uint16.*scale them to 0…255"),
        (RGB.astype(np.int64), "int64.*0…255"),
        (RGB > 3, "bool"),
        (RGB.transpose(2, 0, 1), r"colours seem to come first: pass image\.transpose\(1, 2, 0\)"),
        (torch.from_numpy(RGB).permute(2, 0, 1), "colours seem to come first"),
        (np.dstack([RGB, GRAY]), r"fourth channel is transparency, pass image\[:, :, :3\]"),
        (np.ma.masked_greater(RGB, 200), r"masked pixels, which would count: fill them"),
        (np.empty((0, 10, 3), np.uint8), r"shape \(0, 10, 3\)"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (RGB.tobytes(), r"image( 0| 1)?: not an image of a known format \(360 bytes"),
        (b"", r"the image is empty \(0 bytes\)"),
        (None, "None; expected a path"),
        (3, "of the type int"),
        (Image.fromarray(GRAY.astype(np.int32) * 9000), "PIL image in mode I, expected 8 bits.*scale them"),
        (Image.fromarray(FLOATS[:, :, 0]), r"mode F, expected 8 bits.*0…1, pass \(255 \* image\)"),
        (Image.fromarray(RGB).convert("RGBA").convert("RGBa").getchannel(3).convert("LA").convert("La"), "mode La"),
        ("nowhere.png", r"nowhere\.png: cannot be read: No such file"),
        (Path(), "is a folder, expected an image"),
    ],
)
def test_what_could_be_misread_is_refused(image, message):
    with pytest.raises(DataError, match=message):
        one_image(image)
    for several in (image, [RGB, image]):
        with pytest.raises(DataError, match=message):
            source = given_images(several)
            [source.read(index) for index in range(len(source))]


def test_an_array_of_paths_or_of_images_of_several_sizes_is_a_list(tmp_path):
    path = write(tmp_path / "a.png")
    for images in (np.array([str(path), str(path)]), np.array([RGB, RGB[:5]], dtype=object)):
        source = given_images(images)
        assert len(source) == 2
        np.testing.assert_array_equal(source.read(0), RGB)


@pytest.mark.parametrize("images", [{"a": RGB}, 3, None, RGB[None, None]])
def test_what_is_no_list_of_images_is_refused(images):
    with pytest.raises(DataError, match="expected"):
        given_images(images)


def test_an_array_with_its_colours_second_is_refused():
    with pytest.raises(DataError, match=r"image 0 is uint8 of shape .* colours seem to come first"):
        given_images(np.stack([RGB, RGB]).transpose(0, 3, 1, 2))


def test_pil_is_not_imported_for_it():
    code = "import sys, facemargin.data.given_images; print('PIL' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.stdout.strip() == "False False"
