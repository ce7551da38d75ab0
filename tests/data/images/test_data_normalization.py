"""The numbers by which pixels are scaled: one, or three in the order of a network's channels."""

import numpy as np
import pytest
import torch

from facemargin.data.images.normalization import given_normalization, normalization_text, per_channel
from facemargin.errors import ConfigError

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize("given", [MEAN, list(MEAN), np.array(MEAN), torch.tensor(MEAN, dtype=torch.float64)])
def test_three_numbers_become_a_tuple(given):
    assert per_channel("mean", given) == MEAN
    assert all(type(number) is float for number in per_channel("mean", given))


@pytest.mark.parametrize("given", [127.5, np.float32(127.5), (127.5, 127.5, 127.5), [127.5] * 3, (127.5,)])
def test_equal_numbers_are_one(given):
    assert per_channel("std", given) == 127.5 and type(per_channel("std", given)) is float


def test_a_whole_number_stays_one():
    assert type(per_channel("mean", 0)) is int


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mean", (1, 2), r"mean is \(1, 2\), expected a number, or three, one for each channel"),
        ("mean", (1, 2, 3, 4), "expected a number, or three"),
        ("mean", (), "expected a number, or three"),
        ("mean", "127.5", "mean is '127.5', expected a number"),
        ("mean", None, "mean is None"),
        ("mean", True, "mean is True"),
        ("mean", (1, float("nan"), 3), "expected a number, or three"),
        ("std", float("inf"), "std is inf"),
        ("mean", 10**400, "expected a number"),
        ("std", 0, "std is 0, expected a positive number"),
        ("std", (58, 0, 57), r"std is \(58, 0, 57\), expected positive ones"),
        ("std", (58, -1, 57), "expected positive ones"),
    ],
)
def test_what_no_network_reads_is_refused(name, given, message):
    with pytest.raises(ConfigError, match=message):
        per_channel(name, given)


@pytest.mark.parametrize(
    ("mean", "std", "right"),
    [
        (
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
            r"mean \(123\.675, 116\.28, 103\.53\) and std \(58\.395, 57\.12",
        ),
        (0.5, 0.5, "mean 127.5 and std 127.5"),
        (0, 0.25, "mean 0 and std 63.75"),
        (0.5, 128, "mean 127.5 and std 32640"),
        ((0.485, 0.456, 0.406), STD, r"mean \(123\.675"),
    ],
)
def test_numbers_for_pixels_from_0_to_1_are_told(mean, std, right):
    with pytest.raises(ConfigError, match=f"pixels from 0 to 1.*multiply both by 255.*{right}"):
        given_normalization(mean, std)


@pytest.mark.parametrize(("mean", "std"), [(0, 1), (0, 255), (127.5, 128), (MEAN, STD), (MEAN, 1), (-1, 2)])
def test_numbers_for_pixels_from_0_to_255_are_taken(mean, std):
    assert given_normalization(mean, std) == (mean, std)


def test_in_words():
    assert normalization_text(127.5, 127.5) == "(v − 127.5)/127.5"
    assert normalization_text(MEAN, STD) == "(v − (123.675, 116.28, 103.53))/(58.395, 57.12, 57.375)"
