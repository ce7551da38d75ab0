"""One picture has one digest, however the set that holds it is put together."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from facemargin.data.digest import data_digest, image_digest
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.given_images import given_images
from facemargin.data.open import open_images
from facemargin.data.source import ArrayImages, ImageSubset, WithLabels, labeled_subset
from facemargin.data.squareness import SquashingTold


@pytest.fixture(scope="module")
def faces():
    return open_images("orl:1-2")


def wrapped(images):
    """The same picture, number 0, in every wrapping."""
    return [images, ImageSubset(images, [0]), WithLabels(images, [0], ["s1"]), SquashingTold(images)]


def test_of_a_picture_in_memory(faces):
    picture = faces.read(0)
    sources = [
        *wrapped(ArrayImages([picture])), *wrapped(given_images(picture)),
        *wrapped(given_images(Image.fromarray(picture))), faces, labeled_subset(faces, [0]),
    ]  # fmt: skip
    assert len({image_digest(source, 0) for source in sources}) == 1


def test_of_a_file(faces, tmp_path):
    Image.fromarray(faces.read(0)).save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    sources = [
        *wrapped(ImageFiles(tmp_path, ["a.png"])), *wrapped(given_images(tmp_path / "a.png")),
        *wrapped(given_images([content])), *wrapped(given_images(BytesIO(content))),
    ]  # fmt: skip
    assert len({image_digest(source, 0) for source in sources}) == 1
    assert given_images(tmp_path / "a.png").read_encoded(0) == content


def test_of_a_set_does_not_change_with_its_wrapping(faces):
    pixels = ArrayImages([faces.read(index) for index in range(20)])
    digests = {data_digest(images, faces.labels) for images in (faces, pixels, ImageSubset(faces, np.arange(20)))}
    assert len(digests) == 1
