"""Counts, sizes, corrupt images and duplicates, against what was put in."""

import cv2
import numpy as np

from facemargin.data.inspection import inspect_images
from facemargin.data.pairs.insightface_bin import EncodedImages
from facemargin.data.source import WithLabels
from tests.data.sample_images import encode, smooth_image


def inspect(encoded, labels, num_people):
    source = WithLabels(EncodedImages(encoded, "faces"), labels, [str(number) for number in range(num_people)])
    reports = []
    found = inspect_images(source, lambda done, total: reports.append((done, total)))
    assert reports[0] == (0, len(encoded))
    return found


def test_findings():
    first, second, wide = smooth_image(0), smooth_image(1), smooth_image(2, 20, 30)
    png, other_png = encode(first, ".png"), encode(first, ".bmp")
    encoded = [png, encode(second, ".png"), b"", other_png, png, encode(wide, ".png"), png[:-20], png]
    found = inspect(encoded, [0, 0, 0, 1, 0, 2, 3, 1], 4)
    assert found.images_per_identity_C.tolist() == [3, 2, 1, 0]
    assert found.sizes == {(40, 40): 5, (20, 30): 1}
    assert list(found.corrupt) == [2, 6] and "faces image 6" in found.corrupt[6]
    assert found.same_bytes.groups == [[0, 4, 7]] and found.same_bytes.across == [True]
    assert found.same_pixels.groups == [[0, 3, 4, 7]] and found.same_pixels.num_superfluous == 3
    assert found.same_pixels.num_across == 1


def test_the_same_pixels_in_another_shape_are_another_image():
    flat = np.full((4, 9, 3), 7, np.uint8)
    found = inspect([encode(flat, ".png"), encode(flat.reshape(9, 4, 3), ".png")], [0, 0], 1)
    assert found.same_pixels.groups == [] and found.same_pixels.num_superfluous == 0


def test_duplicates_within_one_person_are_told_apart():
    levels = [cv2.imencode(".png", np.full((4, 4, 3), level, np.uint8))[1].tobytes() for level in range(40)]
    found = inspect(levels + levels[:3] + [levels[39]], [*range(40), 0, 9, 2, 39], 40)
    assert found.same_bytes.groups == [[0, 40], [1, 41], [2, 42], [39, 43]]
    assert found.same_bytes.across == [False, True, False, False]
