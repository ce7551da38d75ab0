"""Every way of resizing a recipe can name: as its library does it, and the same as sums of lines for batches."""

from typing import get_args

import cv2
import numpy as np
import pytest

from facemargin.data.augmentation.batched_resampling import resize_taps
from facemargin.data.augmentation.config import Interpolation
from facemargin.data.images.interpolation import _OPENCV, _TORCH, resize
from tests.data.resize_reference import reference_resize
from tests.data.sample_images import smooth_image

NAMES = get_args(Interpolation)
SIZES = [((112, 112), (16, 16)), ((112, 112), (63, 40)), ((23, 16), (112, 112)), ((9, 31), (45, 30)), ((5, 4), (1, 1))]


def test_every_name_has_one_way():
    assert sorted([*_OPENCV, *_TORCH]) == sorted(NAMES)


@pytest.mark.parametrize("name", _TORCH)
@pytest.mark.parametrize(("shape", "new_shape"), SIZES)
def test_pytorchs_are_the_filters_of_the_reference(name, shape, new_shape):
    image = smooth_image(3, *shape)
    ours, expected = resize(image, *new_shape, name), reference_resize(image, *new_shape, name)
    assert ours.shape == (*new_shape, 3) and ours.dtype == np.uint8 and ours.flags.c_contiguous
    difference = np.abs(ours.astype(int) - expected)
    assert difference.max() <= (0 if name == "nearest_exact" else 1) and difference.mean() < 0.1


@pytest.mark.parametrize(("shape", "new_shape"), SIZES)
def test_opencvs_are_opencvs(shape, new_shape):
    image = smooth_image(3, *shape)
    for name, number in _OPENCV.items():
        expected = cv2.resize(image, new_shape[::-1], interpolation=number)
        np.testing.assert_array_equal(resize(image, *new_shape, name), expected)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 9, 45, 112])
def test_the_taps_of_a_line_are_what_resizing_does_to_it(size, name):
    line = np.random.default_rng(size).integers(0, 256, (size, 1, 3), dtype=np.uint8)
    for new_size in (1, 2, 16, 23, 64, 112):
        lines_SK, weights_SK = resize_taps(size, new_size, name)
        expected = resize(line, new_size, 1, name)
        for row in range(new_size):
            taps = zip(lines_SK[row], weights_SK[row], strict=True)
            summed = sum(line[n, 0].astype(float) * float(weight) for n, weight in taps)
            assert np.abs(summed.clip(0, 255) - expected[row, 0]).max() <= 1.01
