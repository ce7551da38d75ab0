"""In-memory images, subsets and labels, and verification sets that do not fit together."""

import numpy as np
import pytest

from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.data.source import ArrayImages, ImageSubset, WithLabels, labeled_subset
from facemargin.errors import DataError
from tests.data.sample_images import smooth_image

IMAGES = [smooth_image(seed) for seed in range(6)]


def labeled() -> WithLabels:
    return WithLabels(ArrayImages(IMAGES), [0, 0, 1, 2, 2, 1], ["ann", "bob", "cem"])


def test_arrays_come_back_as_they_are():
    source = ArrayImages(np.stack(IMAGES), name="mine")
    assert len(source) == 6 and source.describe(3) == "mine: image 3"
    np.testing.assert_array_equal(source.read(3), IMAGES[3])


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)]
)
def test_arrays_of_another_kind_are_refused(bad):
    with pytest.raises(DataError, match=r"image 1 is .* expected uint8"):
        ArrayImages([IMAGES[0], bad])


def test_a_subset_is_a_view_in_the_order_asked_for():
    subset = ImageSubset(ArrayImages(IMAGES), [4, 1])
    assert len(subset) == 2 and subset.describe(0) == "arrays: image 4"
    np.testing.assert_array_equal(subset.read(1), IMAGES[1])


def test_a_labelled_subset_renumbers_the_people_who_are_left():
    subset = labeled_subset(labeled(), [5, 3, 4])
    assert subset.identity_names == ["bob", "cem"] and subset.num_identities == 2
    np.testing.assert_array_equal(subset.labels, [0, 1, 1])
    np.testing.assert_array_equal(subset.read(0), IMAGES[5])


@pytest.mark.parametrize(
    ("labels", "message"), [([0, 1], "labels of shape"), ([0, 0, 1, 2, 3, 1], "labels from 0 to 3")]
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        WithLabels(ArrayImages(IMAGES), labels, ["ann", "bob", "cem"])


def pairs(first, second, same, **options) -> VerificationSet:
    return VerificationSet("pairs", ArrayImages(IMAGES), np.array(first), np.array(second), np.array(same), **options)


def test_a_verification_set_checks_that_its_parts_fit():
    assert len(pairs([0, 2], [1, 3], [True, False])) == 2
    with pytest.raises(DataError, match="second_K has shape"):
        pairs([0, 2], [1], [True, False])
    with pytest.raises(DataError, match="folds_K has shape"):
        pairs([0, 2], [1, 3], [True, False], folds_K=np.zeros(3, int))
    with pytest.raises(DataError, match="image numbers 1 to 6, expected 0 to 5"):
        pairs([0, 2], [1, 6], [True, False])
    with pytest.raises(DataError, match="identities_N has shape"):
        pairs([0, 2], [1, 3], [True, False], identities_N=np.zeros(2, int))


@pytest.mark.parametrize("num_pairs", [10, 600, 607, 3, 0])
def test_folds_are_consecutive_blocks_of_nearly_equal_size(num_pairs):
    folds = contiguous_folds(num_pairs)
    sizes = np.bincount(folds, minlength=10)
    assert len(folds) == num_pairs and len(sizes) == 10
    assert (np.diff(folds) >= 0).all() and sizes.max() - sizes.min() <= 1 and (np.diff(sizes) <= 0).all()


def test_images_are_indexed_and_iterated_like_a_list():
    images = labeled()
    assert [np.array_equal(images[index], images.read(index)) for index in (0, np.int64(3), 5)] == [True] * 3
    assert np.array_equal(images[-1], images.read(5)) and np.array_equal(images[-6], images.read(0))
    for index in (6, -7):
        with pytest.raises(IndexError, match=f"arrays has 6 images, so there is no image {index}"):
            images[index]
    with pytest.raises(TypeError, match="images are read one at a time"):
        images[:2]
    assert len(list(images)) == 6
    assert all(np.array_equal(image, images.read(index)) for index, image in enumerate(images))


def test_an_image_that_cannot_be_read_does_not_end_the_loop():
    class Broken(ArrayImages):
        def read(self, index):
            return [][index]

    with pytest.raises(IndexError, match="list index out of range"):
        list(Broken(IMAGES))
