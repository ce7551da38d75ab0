import numpy as np
import pytest

from facemargin.data.formats.orl import embedded_verification_set
from facemargin.quality.degradation import degraded_twin


@pytest.fixture(scope="module")
def clean():
    return embedded_verification_set([31, 32])


def test_the_twin_has_the_same_pairs_of_worse_images(clean):
    twin = degraded_twin(clean)
    assert twin.name == "orl:31-32-degraded" and len(twin) == len(clean) == 190
    for name in ("first_K", "second_K", "same_K", "identities_N"):
        np.testing.assert_array_equal(getattr(twin, name), getattr(clean, name))
    assert twin.identity_names == clean.identity_names and twin.folds_K is None
    for index in (0, 7, 19):
        image, worse = clean.images.read(index), twin.images.read(index)
        assert worse.shape == image.shape and worse.dtype == np.uint8
        assert 1 < np.abs(worse.astype(int) - image).mean() < 60  # worse, and still that face
        assert clean.images.describe(index) in twin.images.describe(index)


def test_the_twin_is_a_function_of_the_seed(clean):
    one, again, other = degraded_twin(clean), degraded_twin(clean, seed=0), degraded_twin(clean, seed=1)
    np.testing.assert_array_equal(one.images.read(3), again.images.read(3))
    np.testing.assert_array_equal(one.images.strengths, again.images.strengths)
    assert not np.array_equal(one.images.read(3), other.images.read(3))


def test_the_clean_set_stays_clean(clean):
    before = clean.images.read(5).copy()
    degraded_twin(clean).images.read(5)
    np.testing.assert_array_equal(clean.images.read(5), before)
