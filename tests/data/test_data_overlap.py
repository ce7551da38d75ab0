"""Finding the people and the images that a training and a test set share."""

import cv2
import numpy as np
import pytest

from facemargin.data.formats.orl import EmbeddedFaces, embedded_verification_set
from facemargin.data.images.decode import decode_image
from facemargin.data.overlap import difference_hash, identity_overlap
from facemargin.data.pairs.insightface_bin import EncodedImages
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages, ImageSource, WithLabels
from tests.data.sample_images import encode, smooth_image

IMAGES = [smooth_image(seed, 112, 112) for seed in range(8)]


def labeled(images: list[np.ndarray] | ImageSource, names: list[str], name: str) -> WithLabels:
    source = images if isinstance(images, ImageSource) else ArrayImages(images, name)
    return WithLabels(source, range(len(names)), names)


def test_nothing_shared():
    overlap = identity_overlap(labeled(IMAGES[:4], list("abcd"), "train"), labeled(IMAGES[4:], list("efgh"), "test"))
    assert not overlap.any_shared and overlap.shared_names == overlap.same_pixels == overlap.near_duplicates == []
    assert "0 people by name; 0 pairs of identical images and 0 of near duplicates" in str(overlap)


def test_names_are_compared_whatever_their_case_and_separators():
    train = labeled(IMAGES[:3], ["Ann_Lee", "bob", "Cem"], "train")
    test = labeled(IMAGES[4:6], ["ann lee", "CEM"], "test")
    overlap = identity_overlap(train, test, compare_images=False)
    assert overlap.shared_names == ["Ann_Lee", "Cem"] and overlap.any_shared and overlap.same_pixels is None
    assert str(overlap) == (
        "shared between train (training) and test (test): 2 people by name (Ann_Lee, Cem); images were not compared"
    )


def test_numbers_are_not_names():
    train = labeled(IMAGES[:1], ["0"], "train")
    train.has_names = False
    overlap = identity_overlap(train, labeled(IMAGES[1:2], ["0"], "test"))
    assert overlap.shared_names is None and not overlap.any_shared and "names were not compared" in str(overlap)


def altered(kind: str) -> np.ndarray:
    image = IMAGES[2]
    if kind == "jpeg":
        return decode_image(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes(), "")
    if kind == "brighter":
        return cv2.convertScaleAbs(image, alpha=0.8, beta=20)
    return cv2.resize(image, (80, 80), interpolation=cv2.INTER_AREA)


def test_identical_images_are_found_under_other_names():
    train = labeled(IMAGES[:4], list("abcd"), "train")
    test = labeled([IMAGES[7], IMAGES[2].copy()], list("xy"), "test")
    overlap = identity_overlap(train, test)
    assert overlap.same_pixels == [("train: image 2", "test: image 1")] and overlap.near_duplicates == []
    assert "1 pair of identical images" in str(overlap) and "train: image 2 = test: image 1" in str(overlap)


@pytest.mark.parametrize("kind", ["jpeg", "brighter", "smaller"])
def test_altered_copies_are_near_duplicates(kind):
    train, test = labeled(IMAGES[:4], list("abcd"), "train"), labeled([altered(kind)], ["x"], "test")
    overlap = identity_overlap(train, test)
    assert overlap.same_pixels == [] and overlap.near_duplicates == [("train: image 2", "test: image 0")]


def test_the_hash_is_the_comparison_of_neighbouring_areas():
    image = smooth_image(3, 160, 170)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(float)
    areas = gray.reshape(16, 10, 17, 10).mean(axis=(1, 3))
    differs = np.abs(np.diff(areas, axis=1)) > 1
    bits = difference_hash(image).reshape(16, 16)
    np.testing.assert_array_equal(bits[differs], np.sign(np.diff(areas, axis=1))[differs])


def test_corrupt_images_are_counted():
    train = labeled(EncodedImages([encode(IMAGES[0]), b"garbage"], "train"), ["a", "b"], "train")
    overlap = identity_overlap(train, labeled([IMAGES[3]], ["c"], "test"))
    assert overlap.num_corrupt == 1 and "1 corrupt images left out" in str(overlap)


def test_a_verification_set_without_names_is_compared_by_images():
    pairs = VerificationSet("pairs", ArrayImages(IMAGES[:2]), np.array([0]), np.array([1]), np.array([True]))
    overlap = identity_overlap(labeled(IMAGES[1:3], ["a", "b"], "train"), pairs)
    assert overlap.shared_names is None and overlap.same_pixels == [("train: image 0", "arrays: image 1")]


def test_the_orl_people_of_the_demo_are_disjoint_and_overlaps_are_found():
    clean = identity_overlap(EmbeddedFaces(range(1, 31)), embedded_verification_set(range(31, 41)))
    assert not clean.any_shared and clean.shared_names == []
    leaked = identity_overlap(EmbeddedFaces(range(1, 33)), embedded_verification_set(range(31, 41)))
    assert leaked.shared_names == ["s31", "s32"]
    assert leaked.same_pixels is not None and len(leaked.same_pixels) == 20
