"""Faces degraded on purpose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.errors import ConfigError
from facemargin.quality.degradation import DegradedImages, degrade
from facemargin.randomness import sample_generator


def detail(image: np.ndarray) -> float:
    """Energy above the frequencies that 32 pixels can hold."""
    gray = image[..., 0].astype(float)
    spectrum = np.abs(np.fft.fft2(gray - gray.mean())) ** 2
    frequencies = np.abs(np.fft.fftfreq(gray.shape[0]))[:, None] * gray.shape[0]
    return float(spectrum[(frequencies > 17) | (frequencies.T > 17)].sum())


@settings(max_examples=40, deadline=None)
@given(height=st.integers(4, 120), width=st.integers(4, 120), strength=st.floats(0, 1), seed=st.integers(0, 9))
def test_shape_and_type_stay_and_the_original_is_untouched(height, width, strength, seed):
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    degraded = degrade(image, sample_generator(seed, 0, 0), strength)
    assert degraded.shape == image.shape and degraded.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_fine_detail_is_gone_and_more_strength_is_further_from_the_original():
    faces = EmbeddedFaces([1, 2])
    errors = []
    for strength in (0.0, 0.25, 0.5, 0.75, 1.0):
        degraded = [degrade(faces.read(i), sample_generator(0, 0, i), strength) for i in range(20)]
        assert sum(map(detail, degraded)) < 0.15 * sum(detail(faces.read(i)) for i in range(20))
        errors.append(np.mean([np.abs(image.astype(int) - faces.read(i)).mean() for i, image in enumerate(degraded)]))
    assert errors == sorted(errors) and errors[-1] > 2 * errors[0]


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_other_strengths_are_refused(strength):
    with pytest.raises(ConfigError, match="expected a number from 0 to 1"):
        degrade(np.zeros((9, 9, 3), np.uint8), sample_generator(0, 0, 0), strength)


def test_each_image_has_a_strength_of_its_own_whatever_the_order():
    faces = EmbeddedFaces(range(1, 11))
    degraded = DegradedImages(faces, seed=4)
    assert len(degraded) == 100 and degraded.describe(3) == f"{faces.describe(3)} (degraded)"
    assert degraded.strengths.min() < 0.1 and degraded.strengths.max() > 0.9
    backwards = {index: degraded.read(index) for index in reversed(range(10))}
    for index in range(10):
        np.testing.assert_array_equal(backwards[index], DegradedImages(faces, seed=4).read(index))
        assert not np.array_equal(backwards[index], DegradedImages(faces, seed=5).read(index))


def test_the_strengths_are_those_the_images_are_degraded_by():
    faces = EmbeddedFaces(range(1, 11))
    degraded = DegradedImages(faces, seed=4)
    errors = [np.abs(degraded.read(i).astype(int) - faces.read(i)).mean() for i in range(100)]
    assert np.corrcoef(errors, degraded.strengths)[0, 1] > 0.7
