"""The readers on real sets: a RecordIO set by MXNet's own writer, LFW as .bin and as pairs.txt."""

import numpy as np
import pytest

from facemargin.data.open import open_images, open_verification
from facemargin.data.overlap import identity_overlap
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages, labeled_subset


@pytest.fixture(scope="module")
def train(shared_data) -> LabeledImages:
    return open_images(shared_data / "data" / "train")


@pytest.fixture(scope="module")
def lfw(shared_data) -> VerificationSet:
    return open_verification(shared_data / "data" / "lfw")


def test_the_recordio_set_is_whole(train):
    assert len(train) == 7152 and train.num_identities == 195 and train.num_unreadable == 0
    assert np.bincount(train.labels, minlength=195).min() > 0
    for index in range(0, len(train), 97):
        assert train.read(index).shape == (112, 112, 3) and train.read(index).std() > 5


def test_labels_by_identity_records_are_those_of_the_images(train):
    np.testing.assert_array_equal(train.labels, train._labels_from_headers(train._positions))


def test_lfw_folds_1_to_7(lfw):
    assert len(lfw) == 4200 and len(lfw.images) == 5367
    np.testing.assert_array_equal(np.bincount(lfw.folds_K), [600] * 7)
    for fold in range(7):
        assert lfw.same_K[lfw.folds_K == fold].sum() == 300
    np.testing.assert_array_equal(lfw.identities_N[lfw.first_K] == lfw.identities_N[lfw.second_K], lfw.same_K)
    assert lfw.images.read(0).shape == (112, 112, 3)


def test_the_bin_file_is_fold_1_of_the_pairs(shared_data, lfw):
    fold = open_verification(shared_data / "data" / "lfw" / "lfw_fold1.bin")
    assert len(fold) == 600 and len(fold.images) == 1200
    np.testing.assert_array_equal(fold.same_K, lfw.same_K[:600])
    for in_bin, in_folder in ((fold.first_K, lfw.first_K), (fold.second_K, lfw.second_K)):
        for k in range(600):  # the very bytes
            assert fold.images.read_encoded(in_bin[k]) == lfw.images.read_encoded(in_folder[k])
        for k in range(0, 600, 37):
            np.testing.assert_array_equal(fold.images.read(in_bin[k]), lfw.images.read(in_folder[k]))


def test_training_people_are_not_in_lfw(train, lfw):
    overlap = identity_overlap(labeled_subset(train, range(0, len(train), 8)), lfw)
    assert not overlap.any_shared and overlap.shared_names is None and overlap.num_corrupt == 0
