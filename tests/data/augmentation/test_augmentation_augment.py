"""The augmentations: invariants, probabilities, ranges, and draws that depend on (seed, epoch, index) alone."""

import math
from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.data.augmentation.augment import augment
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from facemargin.errors import ConfigError
from facemargin.randomness import Purpose, SampleStreams, sample_generator
from tests.data.sample_images import smooth_image

IMAGE = smooth_image(5, 48, 48)
FUNFACE = AugmentationConfig(
    flip=0.5, color_jitter=0.2, affine=0.2, grayscale=0.05, noise=0.2, erasing=0.2, low_resolution=0.2, crop=0.2
)
EVERYTHING = AugmentationConfig(**dict.fromkeys(PROBABILITIES, 1.0))


def only(name: str, probability: float = 1.0, **ranges) -> AugmentationConfig:
    return AugmentationConfig(**{name: probability}, **ranges)


def drawn(image: np.ndarray, config: AugmentationConfig, count: int = 300) -> list[np.ndarray]:
    return [augment(image, config, sample_generator(3, 0, index)) for index in range(count)]


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    seed=st.integers(0, 2**63),
    chances=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(PROBABILITIES), max_size=len(PROBABILITIES)),
)
def test_shape_and_type_stay_and_the_original_is_untouched(height, width, seed, chances):
    image = smooth_image(seed % 1000, height, width)
    before = image.copy()
    config = AugmentationConfig(**dict(zip(PROBABILITIES, chances, strict=True)))
    augmented = augment(image, config, sample_generator(seed, 0, 0))
    assert augmented.shape == image.shape and augmented.dtype == np.uint8
    np.testing.assert_array_equal(image, before)


def test_probability_zero_is_the_identity():
    for image in drawn(IMAGE, AugmentationConfig()):
        np.testing.assert_array_equal(image, IMAGE)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_draws_do_not_depend_on_the_order(order):
    images = {index: augment(IMAGE, EVERYTHING, sample_generator(7, 2, index)) for index in order}
    for index in range(12):
        np.testing.assert_array_equal(images[index], augment(IMAGE, EVERYTHING, sample_generator(7, 2, index)))


def test_every_seed_epoch_index_and_purpose_draws_its_own():
    keys = [(0, 0, 0, Purpose.AUGMENTATION), (1, 0, 0, Purpose.AUGMENTATION), (0, 1, 0, Purpose.AUGMENTATION)]
    keys += [(0, 0, 1, Purpose.AUGMENTATION), (0, 0, 0, Purpose.ORDER), (2**63, 0, 0, Purpose.AUGMENTATION)]
    draws = np.array([sample_generator(*key).random(1000) for key in keys])
    assert np.abs(np.corrcoef(draws) - np.eye(len(keys))).max() < 0.2
    with pytest.raises(ConfigError, match="must not be negative"):
        sample_generator(-1, 0, 0)


def test_one_generator_gives_every_samples_stream_whatever_was_drawn_before():
    streams = SampleStreams(Purpose.MARGIN)
    for key in [(0, 0, 0), (2**63, 1, 9), (0, 0, 0), (5, 2**40, 2**50)]:
        ours, expected = streams.at(*key), sample_generator(*key, Purpose.MARGIN)
        for one in (ours, expected):
            one.integers(2**31, dtype=np.uint32)  # leaves half a number for the next
        np.testing.assert_array_equal(ours.random(7), expected.random(7))
        assert ours.bytes(5) == expected.bytes(5) and ours.integers(1000) == expected.integers(1000)
    with pytest.raises(ConfigError, match="must not be negative"):
        streams.at(0, 0, -1)


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("probability", [0.05, 0.2, 0.5])
def test_each_probability_is_honoured(name, probability):
    count = 1500
    config = only(name, probability, blur_sigma=(0.03, 0.05))  # always visible, even on a small image
    changed = sum(not np.array_equal(image, IMAGE) for image in drawn(IMAGE, config, count))
    assert abs(changed / count - probability) < 4 * math.sqrt(probability * (1 - probability) / count)


def test_turning_one_off_changes_nothing_about_when_the_others_happen():
    without_noise = [np.array_equal(image, IMAGE) for image in drawn(IMAGE, replace(FUNFACE, noise=0.0))]
    with_noise = [np.array_equal(image, IMAGE) for image in drawn(IMAGE, FUNFACE)]
    assert all(same or not same_with for same, same_with in zip(without_noise, with_noise, strict=True))
    assert sum(without_noise) > sum(with_noise)


def test_flip_mirrors():
    np.testing.assert_array_equal(augment(IMAGE, only("flip"), sample_generator(0, 0, 0)), IMAGE[:, ::-1])


def test_grayscale_is_bt601_luma():
    gray = augment(IMAGE, only("grayscale"), sample_generator(0, 0, 0)).astype(float)
    expected = IMAGE @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray - expected[..., None]).max() <= 1


def test_brightness_is_a_factor_over_the_whole_of_its_range():
    flat = np.full((8, 8, 3), 100, np.uint8)
    values = [int(image[0, 0, 0]) for image in drawn(flat, only("color_jitter", contrast=0.0, saturation=0.0, hue=0.0))]
    assert 40 <= min(values) < 45 and 155 < max(values) <= 160


def test_contrast_keeps_the_mean_and_scales_the_spread():
    middle = (IMAGE // 4 + 96).astype(np.uint8)
    luma = np.array([0.299, 0.587, 0.114])
    spreads = []
    for image in drawn(middle, only("color_jitter", brightness=0.0, saturation=0.0, hue=0.0), 200):
        assert abs((image @ luma).mean() - (middle @ luma).mean()) < 1
        spreads.append((image @ luma).std() / (middle @ luma).std())
    assert 0.58 < min(spreads) < 0.65 and 1.35 < max(spreads) < 1.42


def test_saturation_and_hue_leave_grey_alone_and_keep_luma_or_value():
    gray = np.repeat(IMAGE[..., :1], 3, axis=2)
    config = only("color_jitter", brightness=0.0, contrast=0.0, saturation=0.4, hue=0.1)
    for image in drawn(gray, config, 50):
        np.testing.assert_array_equal(image, gray)
    middle = (IMAGE // 4 + 96).astype(np.uint8)
    for image in drawn(middle, replace(config, saturation=0.0), 50):
        assert np.abs(image.max(axis=2).astype(int) - middle.max(axis=2)).max() <= 2
    luma = np.array([0.299, 0.587, 0.114])
    for image in drawn(middle, replace(config, hue=0.0), 50):
        assert np.abs(image @ luma - middle @ luma).max() <= 2


def test_a_hue_that_is_not_turned_changes_nothing():
    image = smooth_image(0, 24, 20)
    config = only("color_jitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    assert all(np.array_equal(one, image) for one in drawn(image, config, 5))


def test_hue_turns_the_colour_circle():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    config = only("color_jitter", brightness=0.0, contrast=0.0, saturation=0.0, hue=1 / 3)
    greens = [int(image[0, 0, 1]) for image in drawn(red, config)]
    assert min(greens) == 0 and max(greens) > 190  # +1/3 of the circle is green, −1/3 blue


def bright_center(image: np.ndarray) -> np.ndarray:
    """(x, y) centre of brightness."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image[..., 0].astype(float)
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


def dot(x: int, y: int) -> np.ndarray:
    image = np.zeros((61, 61, 3), np.uint8)
    image[y - 2 : y + 3, x - 2 : x + 3] = 255
    return image


def test_rotation_turns_about_the_centre_within_its_range():
    config = only("affine", rotation=20.0, translation=0.0, scale=(1.0, 1.0))
    arms = np.array([bright_center(image) for image in drawn(dot(50, 30), config)]) - 30
    angles = np.degrees(np.arctan2(arms[:, 1], arms[:, 0]))
    assert np.abs(np.hypot(*arms.T) - 20).max() < 0.3
    assert -20.5 < angles.min() < -18 and 18 < angles.max() < 20.5


def test_translation_and_scale_stay_within_their_ranges():
    config = only("affine", rotation=0.0, translation=0.1, scale=(1.0, 1.0))
    shifts = np.array([bright_center(image) for image in drawn(dot(30, 30), config)]) - 30
    assert (shifts.min(axis=0) < -5.5).all() and (shifts.min(axis=0) > -6.2).all()
    assert (shifts.max(axis=0) > 5.5).all() and (shifts.max(axis=0) < 6.2).all()
    config = only("affine", rotation=0.0, translation=0.0, scale=(0.5, 1.2))
    arms = [bright_center(image)[0] - 30 for image in drawn(dot(50, 30), config)]
    assert 9.8 < min(arms) < 10.6 and 23.4 < max(arms) < 24.2


def test_what_comes_in_from_outside_is_black():
    white = np.full((40, 40, 3), 255, np.uint8)
    config = only("affine", rotation=0.0, translation=0.5, scale=(0.5, 0.5))
    assert all(image.min() == 0 for image in drawn(white, config, 20))


def black_share(image: np.ndarray) -> float:
    return float((image == 0).all(axis=2).mean())


@pytest.mark.parametrize(("name", "low", "high"), [("erasing", 0.01, 0.1), ("crop", 0.0, 0.5)])
def test_erasing_and_crop_blacken_one_rectangle_of_the_right_size(name, low, high):
    white = np.full((112, 112, 3), 255, np.uint8)
    shares = []
    for image in drawn(white, only(name)):
        assert set(np.unique(image)) <= {0, 255}
        inside = (image[..., 0] == 0) if name == "erasing" else (image[..., 0] == 255)
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        assert inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert inside.sum() == len(rows) * len(columns)
        shares.append(black_share(image))
    tolerance = 0.01
    assert low - tolerance <= min(shares) < low + 0.02 and high - 0.04 < max(shares) <= high + tolerance


def test_crop_keeps_what_is_inside_in_its_place():
    for image in drawn(IMAGE, only("crop", crop_area=(0.3, 0.6)), 50):
        kept = image != 0
        np.testing.assert_array_equal(image[kept], IMAGE[kept])
        assert 0.25 < kept.any(axis=2).mean() < 0.65


def test_a_rectangle_that_never_fits_is_cut_to_the_image():
    white = np.full((16, 16, 3), 255, np.uint8)
    for image in drawn(white, only("erasing", erasing_area=(0.9, 0.9)), 50):
        assert image.shape == white.shape and black_share(image) > 0.2


def test_the_noise_has_its_share_and_both_kinds_occur():
    gray = np.full((60, 60, 3), 200, np.uint8)
    uniform_std, normal_std = 255 / math.sqrt(12), 127.5
    kinds = []
    for image in drawn(gray, only("noise", noise_share=(0.1, 0.1))):
        values = image.astype(float)
        assert abs(values.mean() - (0.9 * 200 + 0.1 * 127.5)) < 1
        kinds.append("uniform" if abs(values.std() - 0.1 * uniform_std) < 0.5 else "normal")
        assert kinds[-1] == "uniform" or abs(values.std() - 0.1 * normal_std) < 0.5
    assert 100 < kinds.count("uniform") < 200


def test_low_resolution_loses_detail_and_blur_smooths():
    checkers = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    checkers = np.repeat(checkers[..., None], 3, axis=2)

    def roughness(image: np.ndarray) -> float:
        return float(np.abs(np.diff(image[..., 0].astype(float), axis=1)).mean())

    for image in drawn(checkers, only("low_resolution", low_resolution_side=(0.25, 0.25)), 50):
        assert roughness(image) < 0.5 * roughness(checkers)
    for image in drawn(checkers, only("blur"), 50):
        assert roughness(image) < roughness(checkers)


@pytest.mark.parametrize("name", PROBABILITIES)
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_probabilities_outside_0_to_1_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"augmentation {name} is .* expected a probability"):
        only(name, value)


@pytest.mark.parametrize(
    "name", [name for name, hint in get_type_hints(AugmentationConfig).items() if hint == tuple[float, float]]
)
@pytest.mark.parametrize("value", [(0.5, 0.2), (-0.1, 0.2), (float("nan"), 1.0)])
def test_ranges_that_do_not_ascend_are_refused_by_name(name, value):
    with pytest.raises(ConfigError, match=f"augmentation {name} is"):
        AugmentationConfig(**{name: value})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": ("flip", "crops")}, "order: unknown name 'crops'; did you mean 'crop'"),
        ({"order": ("crop", "flip", "crop")}, "order contains crop 2 times, expected once"),
        ({"order": ("crop",), "crop": 0.2, "flip": 0.5}, "order does not contain flip, but its probability is 0.5"),
        (
            {"low_resolution_interpolations": ("bilinaer",)},
            "low_resolution_interpolations: unknown name 'bilinaer'; did you mean 'bilinear'",
        ),
        (
            {"low_resolution_interpolations": ()},
            "low_resolution_interpolations is empty, expected one or more of nearest",
        ),
        ({"low_resolution_draws": "twice"}, r"low_resolution_draws is 'twice', expected one of \('each_way', 'once'\)"),
        ({"affine_interpolation": "cubic"}, "affine_interpolation is 'cubic', expected one of"),
    ],
)
def test_names_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ConfigError, match=f"augmentation {message}"):
        AugmentationConfig(**fields)


def test_the_order_is_that_of_the_recipe():
    config = AugmentationConfig(crop=1.0, flip=1.0, order=("crop", "flip"), crop_area=(0.3, 0.4))
    for index in range(20):
        kept_first = augment(IMAGE, config, sample_generator(3, 0, index))
        alone = augment(IMAGE, replace(config, flip=0.0), sample_generator(3, 0, index))
        np.testing.assert_array_equal(kept_first, alone[:, ::-1])
    late = replace(config, order=("flip", "crop"))
    both = [(augment(IMAGE, one, sample_generator(3, 0, 5)) > 0).any(axis=(0, 2)) for one in (config, late)]
    assert not np.array_equal(*both)  # the rectangle moves with the mirror, or stays in its place


def test_whole_pixel_shifts_move_pixels_as_they_are():
    config = only(
        "affine",
        rotation=0.0,
        scale=(1.0, 1.0),
        translation=0.1,
        whole_pixel_shifts=True,
        affine_interpolation="nearest",
    )
    shifts = np.array([bright_center(image) for image in drawn(dot(30, 30), config)]) - 30
    assert set(np.unique(shifts)) == set(range(-6, 7))
    assert all(set(np.unique(image)) <= {0, 255} for image in drawn(dot(30, 30), config))


def test_negative_spreads_are_refused():
    with pytest.raises(ConfigError, match="augmentation rotation is -5"):
        AugmentationConfig(rotation=-5)


def test_shear_slides_rows_in_proportion_to_their_distance_from_the_centre():
    config = only("affine", rotation=0.0, translation=0.0, scale=(1.0, 1.0), shear=0.2)
    column = np.zeros((41, 41, 3), np.uint8)
    column[:, 19:22] = 250
    slopes = []
    for image in drawn(column, config, 100):
        centers = [(image[row, :, 0] @ np.arange(41.0)) / image[row, :, 0].sum() for row in (5, 20, 35)]
        assert centers[1] == pytest.approx(20, abs=0.05)
        assert centers[2] - centers[1] == pytest.approx(centers[1] - centers[0], abs=0.15)
        slopes.append((centers[2] - centers[0]) / 30)
    assert -0.21 < min(slopes) < -0.17 and 0.17 < max(slopes) < 0.21


def test_what_comes_in_from_outside_is_black_or_the_edge_again():
    white = np.full((20, 20, 3), 255, np.uint8)
    config = only("affine", rotation=0.0, translation=0.4, scale=(1.0, 1.0))
    assert min(image.min() for image in drawn(white, config, 20)) == 0
    assert min(image.min() for image in drawn(white, replace(config, border="repeat"), 20)) == 255
    with pytest.raises(ConfigError, match="border is 'mirror'"):
        replace(config, border="mirror")


def test_erasing_hides_with_black_or_with_greys_of_all_levels():
    white = np.full((20, 20, 3), 255, np.uint8)
    config = only("erasing", erasing_area=(0.1, 0.2))
    assert {int(image.min()) for image in drawn(white, config, 30)} == {0}
    grays = [int(image.min()) for image in drawn(white, replace(config, erasing_fill="grey"), 200)]
    assert min(grays) < 20 and max(grays) > 235 and len(set(grays)) > 80
    for image in drawn(white, replace(config, erasing_fill="grey"), 20):
        assert len(np.unique(image)) <= 2 and (image == image[..., :1]).all()
