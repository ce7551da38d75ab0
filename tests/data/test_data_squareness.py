"""Images that networks will squash are said beforehand."""

import logging

import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.source import ArrayImages, ImageSource
from facemargin.data.squareness import warn_of_squashed
from facemargin.errors import CorruptImageError

SQUARE, WIDE = np.zeros((20, 20, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)


def test_images_that_are_not_square_are_counted_and_named(caplog):
    warn_of_squashed(ArrayImages([SQUARE, WIDE, SQUARE, WIDE], "mine"))
    assert "mine: 2 of the 4 images looked at are not square (mine: image 1: 30 × 20, mine: image 3" in caplog.text
    caplog.clear()
    warn_of_squashed(ArrayImages([WIDE] * 5, "mine"))
    assert "5 of the 5 images looked at are not square" in caplog.text and ", …)" in caplog.text


def test_square_images_need_no_word(caplog):
    warn_of_squashed(ArrayImages([SQUARE] * 3, "mine"))
    warn_of_squashed(EmbeddedFaces([1], square=False))  # whole frames by choice
    assert caplog.text == ""


@pytest.mark.parametrize("number", [1, 99, 100, 101, 1000])
def test_few_images_are_looked_at_and_the_broken_ones_are_left_to_others(number, caplog):
    read = []

    class Images(ImageSource):
        name = "many"

        def __len__(self):
            return number

        def read(self, index):
            read.append(index)
            if index == number - 1:
                raise CorruptImageError("broken")
            return SQUARE

        def describe(self, index):
            return f"image {index}"

    with caplog.at_level(logging.WARNING):
        warn_of_squashed(Images())
    assert read == sorted(set(read)) and len(read) == min(number, 100)
    assert read[0] == 0 and read[-1] == number - 1 and caplog.text == ""
