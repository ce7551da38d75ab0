"""Noise by seed and place: SplitMix64 number by number, both distributions, and neighbours that do not matter."""

import numpy as np
import pytest
import torch
from scipy import stats

from facemargin.data.augmentation.seeded_noise import random_bits, standard_normal, uniform_gray

SEEDS = [0, 1, 1234567, 2**40 + 17, 2**63 - 1]


def splitmix64(seed: int, count: int) -> list[int]:
    """As Steele, Lea and Flood define it, one number after the other."""
    numbers = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = seed
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        numbers.append(z ^ (z >> 31))
    return numbers


def test_the_reference_gives_the_published_numbers():
    assert splitmix64(1234567, 3) == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_the_bits_are_those_of_splitmix64():
    bits = random_bits(torch.tensor(SEEDS), 50)
    for seed, row in zip(SEEDS, bits.tolist(), strict=True):
        assert [number % 2**64 for number in row] == splitmix64(seed, 50)


@pytest.mark.parametrize("count", [1, 7, 8, 100])
def test_values_are_the_numbers_bytes_and_the_quantiles_of_their_quarters(count):
    gray, normal = uniform_gray(torch.tensor(SEEDS), count), standard_normal(torch.tensor(SEEDS), count)
    assert gray.shape == normal.shape == (len(SEEDS), count)
    for row, seed in enumerate(SEEDS):
        numbers = splitmix64(seed, count)
        assert gray[row].tolist() == [numbers[n // 8] >> 8 * (n % 8) & 255 for n in range(count)]
        quarters = [numbers[n // 4] >> 16 * (n % 4) & 65535 for n in range(count)]
        expected = stats.norm.ppf([(quarter + 0.5) / 65536 for quarter in quarters])
        np.testing.assert_allclose(normal[row].numpy(), expected, rtol=1e-6, atol=1e-7)


def test_the_distributions_are_uniform_and_normal_and_samples_independent():
    seeds = torch.arange(40) * 7919
    gray, normal = uniform_gray(seeds, 5000).numpy(), standard_normal(seeds, 5000).numpy()
    assert stats.chisquare(np.bincount(gray.ravel(), minlength=256)).pvalue > 1e-3
    assert stats.kstest(normal.ravel(), "norm").pvalue > 1e-3
    assert abs(normal.std() - 1) < 0.01 and 3.5 < np.abs(normal).max() < 4.4
    for values in (gray.astype(float), normal):
        between = np.corrcoef(values) - np.eye(len(seeds))
        along = [np.corrcoef(values[:, :-lag].ravel(), values[:, lag:].ravel())[0, 1] for lag in (1, 3, 4, 8, 336)]
        assert np.abs(between).max() < 0.08 and np.abs(along).max() < 0.01


def test_a_sample_has_the_same_noise_in_any_batch():
    together = uniform_gray(torch.tensor(SEEDS), 333), standard_normal(torch.tensor(SEEDS), 333)
    for row, seed in enumerate(SEEDS):
        assert torch.equal(uniform_gray(torch.tensor([seed]), 333)[0], together[0][row])
        assert torch.equal(standard_normal(torch.tensor([seed]), 333)[0], together[1][row])
    assert uniform_gray(torch.tensor([], dtype=torch.int64), 9).shape == (0, 9)
