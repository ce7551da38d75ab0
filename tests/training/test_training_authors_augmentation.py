"""What the recipes draw is what their authors' code draws: order, sizes, interpolations, shifts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from facemargin.data.augmentation.augment import draw_augmentation
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from facemargin.files.yaml import from_mapping
from facemargin.randomness import sample_generator
from facemargin.training.recipe import load_recipe

FUNFACES = ["funface_ms1mv2", "funface_ms1mv3", "funface_webface4m"]
N = 4000


def only(name: str) -> dict[str, float]:
    return dict.fromkeys(PROBABILITIES, 0.0) | {name: 1.0}


def draws(recipe: str, name: str) -> list:
    config = replace(load_recipe(recipe, []).augmentation, **only(name))
    return [getattr(draw_augmentation(112, 112, config, sample_generator(0, 0, i)), name) for i in range(N)]


def assert_uniform(counts: Counter, expected: dict) -> None:
    """Within five standard deviations of each share."""
    assert set(counts) == set(expected)
    for value, share in expected.items():
        assert abs(counts[value] - N * share) < 5 * np.sqrt(N * share), value


@pytest.mark.parametrize("recipe", FUNFACES)
def test_funface_draws_one_interpolation_for_both_ways(recipe):
    drawn = draws(recipe, "low_resolution")
    assert all(one.shrink == one.enlarge and one.height == one.width for one in drawn)
    shares = {"bilinear_antialiased": 0.4, "nearest": 0.2, "nearest_exact": 0.2, "bicubic_antialiased": 0.2}
    assert_uniform(Counter(one.shrink for one in drawn), shares)
    assert_uniform(Counter(one.height for one in drawn), dict.fromkeys(range(16, 64), 1 / 48))  # int(16 to 64)


@pytest.mark.parametrize("recipe", FUNFACES)
def test_funface_shifts_by_whole_pixels_and_takes_the_nearest(recipe):
    drawn = draws(recipe, "affine")
    assert {(one.interpolation, one.border) for one in drawn} == {("nearest", "black")}
    still = replace(load_recipe(recipe, []).augmentation, rotation=0.0, scale=(1.0, 1.0), **only("affine"))
    matrices = [draw_augmentation(112, 112, still, sample_generator(0, 0, i)).affine.matrix for i in range(N)]
    inner, outer = dict.fromkeys(range(-5, 6), 1 / 11.2), {-6: 0.1 / 11.2, 6: 0.1 / 11.2}  # round(-5.6 to 5.6)
    for place in (2, 5):
        assert_uniform(Counter(matrix[place] for matrix in matrices), inner | outer)


def test_adaface_draws_an_interpolation_each_way_and_its_sides():
    drawn = draws("adaface_ms1mv2", "low_resolution")
    names = ("nearest", "bilinear", "area", "bicubic", "lanczos")
    assert_uniform(Counter((one.shrink, one.enlarge) for one in drawn), {(a, b): 0.04 for a in names for b in names})
    sides = Counter(one.height for one in drawn)
    whole = dict.fromkeys(range(23, 112), 1 / 89.6)  # int(22.4 to 112)
    assert_uniform(sides, whole | {22: 0.6 / 89.6})


def test_the_orders_are_the_authors():
    for recipe in FUNFACES:
        order = load_recipe(recipe, []).augmentation.order
        assert order == ("flip", "color_jitter", "affine", "grayscale", "noise", "erasing", "low_resolution", "crop")
    assert load_recipe("adaface_ms1mv2", []).augmentation.order == ("crop", "low_resolution", "color_jitter", "flip")


def test_a_recipe_of_before_has_the_order_and_draws_of_before():
    config = from_mapping(AugmentationConfig, {"flip": 0.5, "low_resolution": 0.2, "affine": 0.2}, "old.yaml")
    assert config.order == PROBABILITIES and config.low_resolution_draws == "each_way"
    assert config.affine_interpolation == "bilinear" and not config.whole_pixel_shifts
    assert config.low_resolution_interpolations == ("nearest", "bilinear", "area", "bicubic", "lanczos")
