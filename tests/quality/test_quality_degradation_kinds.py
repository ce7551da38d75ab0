"""Single kinds of degradation on the embedded faces."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.source import ArrayImages
from facemargin.errors import ConfigError
from facemargin.quality.degradation_kinds import KINDS, DegradedByKinds
from facemargin.randomness import Purpose, sample_generator

STRENGTHS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


@pytest.fixture(scope="module")
def faces():
    embedded = EmbeddedFaces([1, 2, 3])
    return ArrayImages([embedded.read(index) for index in range(30)], "faces")


def psnr(image, original) -> float:
    """In decibels, at most 100."""
    error = np.mean((image.astype(np.float64) - original) ** 2)
    return 100.0 if error == 0 else 10 * np.log10(255**2 / error)


@pytest.mark.parametrize("kinds", [*([kind] for kind in KINDS), ["blur", "jpeg"], list(KINDS)], ids=",".join)
def test_psnr_falls_with_strength(faces, kinds):
    means = []
    for strength in STRENGTHS:
        degraded = DegradedByKinds(faces, kinds, strength, seed=0)
        means.append(np.mean([psnr(degraded.read(index), faces.read(index)) for index in range(30)]))
    assert (np.diff(means) < -0.3).all(), means
    assert means[-1] < 23


@pytest.mark.parametrize("kind", KINDS)
def test_strength_0_is_the_image_as_it_is(faces, kind):
    degraded = DegradedByKinds(faces, [kind], 0.0, seed=0)
    for index in range(3):
        np.testing.assert_array_equal(degraded.read(index), faces.read(index))


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    strength=st.floats(0, 1),
    kinds=st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=5, unique=True),
)
def test_shape_and_type_stay_and_the_original_is_untouched(height, width, strength, kinds):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    before = image.copy()
    degraded = DegradedByKinds(ArrayImages([image]), kinds, strength, seed=0).read(0)
    assert degraded.shape == image.shape and degraded.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_what_a_strength_means():
    gray = np.full((112, 112, 3), 128, dtype=np.uint8)
    noise = KINDS["noise"](gray, 0.5, sample_generator(0, 0, 0)).astype(float) - 128
    assert abs(noise.std() - 25) < 0.5 and abs(noise.mean()) < 0.5
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.05
    for seed in range(20):
        image = np.full((80, 112, 3), 7, dtype=np.uint8)
        hidden = (KINDS["occlusion"](image, 0.6, sample_generator(seed, 0, 0)) != 7).any(axis=2)
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert hidden.sum() == len(rows) * len(columns) and abs(hidden.mean() - 0.3) < 0.02
        assert abs(len(columns) / len(rows) - 112 / 80) < 0.1
    point = np.zeros((112, 112, 3), dtype=np.uint8)
    point[56] = 255
    profile = KINDS["blur"](point, 0.8, sample_generator(0, 0, 0))[:, 56, 0].astype(float)
    deviation = np.sqrt((profile * (np.arange(112) - 56) ** 2).sum() / profile.sum())
    assert abs(deviation - 4) < 0.2


def test_brightness_is_too_dark_or_too_bright_by_stops_of_light():
    image = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    factors = []
    for seed in range(20):
        exposed = KINDS["brightness"](image, 0.5, sample_generator(seed, 0, 0))[0, :, 0].astype(float)
        factor = exposed[50] / 50
        np.testing.assert_array_equal(
            exposed, np.clip(np.rint(np.arange(256) * 2 ** (2 / 2.2 * np.sign(factor - 1))), 0, 255)
        )
        factors.append(factor)
    assert 4 < sum(factor > 1 for factor in factors) < 16


def test_each_kind_draws_from_its_own_stream_which_stays():
    image = np.full((30, 40, 3), 90, dtype=np.uint8)
    streams = {"occlusion": 0, "blur": 1, "downscale": 2, "noise": 3, "jpeg": 4, "brightness": 5}
    assert streams.keys() == KINDS.keys()
    for kind, stream in streams.items():
        expected = KINDS[kind](image, 0.7, sample_generator(3, stream, 2, Purpose.DEGRADED_KIND))
        found = DegradedByKinds(ArrayImages([image] * 3), [kind], 0.7, seed=3).read(2)
        np.testing.assert_array_equal(found, expected)


def test_downscaling_keeps_only_what_the_small_image_holds():
    image = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    degraded = KINDS["downscale"](image, 1.0, sample_generator(0, 0, 0))
    averages = image.reshape(10, 10, 10, 10, 3).mean(axis=(1, 3))
    expected = cv2.resize(np.rint(averages).astype(np.uint8), (100, 100), interpolation=cv2.INTER_CUBIC)
    assert np.abs(degraded.astype(int) - expected).max() <= 2


def test_more_strength_hides_more_around_the_same_place():
    image = np.zeros((90, 70, 3), dtype=np.uint8)
    for index in range(20):
        before = np.zeros((90, 70), dtype=bool)
        for strength in STRENGTHS:
            degraded = DegradedByKinds(ArrayImages([image] * 20), ["occlusion"], strength, seed=1).read(index)
            hidden = degraded.any(axis=2)
            assert not (before & ~hidden).any() and hidden.sum() >= before.sum()
            before = hidden


def test_kinds_are_applied_in_one_order_and_draw_for_themselves(faces):
    both = DegradedByKinds(faces, ["jpeg", "blur"], 0.5, seed=0)
    np.testing.assert_array_equal(both.read(3), DegradedByKinds(faces, ["blur", "jpeg"], 0.5, seed=0).read(3))
    blurred = DegradedByKinds(faces, ["blur"], 0.5, seed=0)
    np.testing.assert_array_equal(both.read(3), DegradedByKinds(blurred, ["jpeg"], 0.5, seed=0).read(3))
    noisy = DegradedByKinds(faces, ["occlusion", "noise"], 0.3, seed=0)
    hidden = DegradedByKinds(faces, ["occlusion"], 0.3, seed=0)
    np.testing.assert_array_equal(noisy.read(3), DegradedByKinds(hidden, ["noise"], 0.3, seed=0).read(3))


def test_a_function_of_seed_and_index_alone(faces):
    degraded = DegradedByKinds(faces, list(KINDS), 0.5, seed=4)
    backwards = {index: degraded.read(index) for index in reversed(range(5))}
    for index in range(5):
        np.testing.assert_array_equal(backwards[index], DegradedByKinds(faces, list(KINDS), 0.5, seed=4).read(index))
        assert not np.array_equal(backwards[index], DegradedByKinds(faces, list(KINDS), 0.5, seed=5).read(index))
    same = ArrayImages([faces.read(0)] * 2)
    noisy = DegradedByKinds(same, ["noise"], 0.5, seed=4)
    assert not np.array_equal(noisy.read(0), noisy.read(1))
    assert degraded.describe(3) == "faces: image 3 (degraded)"


@pytest.mark.parametrize(
    ("kinds", "strength", "message"),
    [
        (["blurr"], 0.5, "unknown kind of degradation 'blurr'; did you mean 'blur'"),
        (["blur", ""], 0.5, "unknown kind of degradation ''; known: blur, brightness, downscale"),
        ([], 0.5, "none; expected one or more, each once, of occlusion, blur"),
        (["blur", "blur"], 0.5, "blur, blur; expected one or more, each once"),
        (["blur"], 1.1, "strength is 1.1, expected a number from 0 to 1"),
        (["blur"], -0.1, "expected a number from 0 to 1"),
        (["blur"], float("nan"), "expected a number from 0 to 1"),
    ],
)
def test_other_kinds_and_strengths_are_refused(faces, kinds, strength, message):
    with pytest.raises(ConfigError, match=message):
        DegradedByKinds(faces, kinds, strength, seed=0)
