"""What a network reads: refitting its first layer, and telling by pairs which way is better."""

import itertools
import math

import numpy as np
import pytest
import torch

from facemargin.backbones import create_backbone
from facemargin.interop.input_check import InputCheck, compare_inputs, decisions, sign_test
from facemargin.interop.input_convention import refit_input
from tests.interop.foreign_files import expected_embedding, features, network, pixels


def refitted(name, *convention, **options):
    backbone = create_backbone(name, 8, input_size=16, **options).eval()
    backbone.load_state_dict(network(name, **options).state_dict())
    refit_input(backbone, *convention)
    return backbone


@pytest.mark.parametrize("name", ["ir_18", "iresnet18", "mobilefacenet", "small_resnet"])
def test_a_bgr_network_reads_rgb_exactly(name):
    images = pixels()
    expected = expected_embedding(network(name), images, True, 127.5, 127.5)
    found = expected_embedding(refitted(name, "BGR", 127.5, 127.5), images, False, 127.5, 127.5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["iresnet18", "mobilefacenet"])
def test_other_pixels_are_read_exactly_but_at_the_outermost_row(name):
    backbone = network(name)
    convolution = next(module for module in backbone.modules() if isinstance(module, torch.nn.Conv2d))
    norm = next(module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d))
    new = refitted(name, "BGR", 0.0, 255.0)
    new_convolution = next(module for module in new.modules() if isinstance(module, torch.nn.Conv2d))
    new_norm = next(module for module in new.modules() if isinstance(module, torch.nn.BatchNorm2d))
    images = pixels().transpose(0, 3, 1, 2).astype(np.float32)
    theirs = features(torch.nn.Sequential(convolution, norm).eval(), np.ascontiguousarray(images[:, ::-1]) / 255)
    ours = features(torch.nn.Sequential(new_convolution, new_norm).eval(), (images - 127.5) / 127.5)
    np.testing.assert_allclose(ours[:, :, 1:-1, 1:-1], theirs[:, :, 1:-1, 1:-1], rtol=1e-3, atol=1e-4)
    assert not np.allclose(ours[:, :, 0], theirs[:, :, 0], atol=1e-3)  # grey there, where MagFace sees black


@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_a_mean_and_deviation_for_each_channel_are_refitted(order):
    mean, std = np.array([104.0, 117.0, 124.0]), np.array([57.0, 58.0, 60.0])  # of the network's channels, in its order
    backbone, new = network("mobilefacenet"), refitted("mobilefacenet", order, tuple(mean), tuple(std))
    first, ours_first = (
        torch.nn.Sequential(
            next(module for module in part.modules() if isinstance(module, torch.nn.Conv2d)),
            next(module for module in part.modules() if isinstance(module, torch.nn.BatchNorm2d)),
        ).eval()
        for part in (backbone, new)
    )
    images = pixels().transpose(0, 3, 1, 2).astype(np.float32)
    read = images[:, ::-1] if order == "BGR" else images
    theirs = features(first, ((read - mean[:, None, None]) / std[:, None, None]).astype(np.float32))
    ours = features(ours_first, (images - 127.5) / 127.5)
    np.testing.assert_allclose(ours[:, :, 1:-1, 1:-1], theirs[:, :, 1:-1, 1:-1], rtol=1e-3, atol=1e-4)


def test_a_network_that_reads_like_ours_stays_as_it_is():
    for key, value in refitted("mobilefacenet", "RGB", 127.5, 127.5).state_dict().items():
        assert torch.equal(value, network("mobilefacenet").state_dict()[key])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("steps", [3, 1000])
def test_decisions_are_the_most_accurate_there_are(seed, steps):
    random = np.random.default_rng(seed)
    scores, same = random.integers(0, steps, 40) / steps, random.random(40) < 0.5
    best = max(np.mean((scores >= cut) == same) for cut in [*scores, np.inf])
    assert np.mean(decisions(scores, same) == same) == best
    accepted = decisions(scores, same)
    assert not accepted.any() or accepted.all() or scores[accepted].min() > scores[~accepted].max()


def test_the_sign_test_counts_tosses():
    for b, c in itertools.product(range(7), repeat=2):
        n = b + c
        splits = [sum(toss) for toss in itertools.product((0, 1), repeat=n)]
        as_uneven = sum(abs(2 * heads - n) >= abs(b - c) for heads in splits)
        assert sign_test(b, c) == pytest.approx(min(1, as_uneven / len(splits)) if b != c else 1.0)
    assert sign_test(0, 3000) == 0 and math.isfinite(sign_test(1500, 1500))


def test_the_number_of_pairs_is_the_smallest_that_can_tell():
    """Also of two ways that are nearly alike, of which a hundred thousand candidates are looked at."""
    for only_declared, only_other, pairs in [(30, 20, 400), (20, 30, 100), (53, 47, 160), (8, 1, 50)]:
        share = max(only_declared, only_other) / (only_declared + only_other)
        rate = (only_declared + only_other) / pairs
        needed = next(n for n in range(8, 10_000) if sign_test(math.ceil(share * n), n - math.ceil(share * n)) < 0.01)
        check = InputCheck(0.5, 0.5, 1.0, only_declared, only_other, pairs)
        assert check.pairs_needed() == max(math.ceil(needed / rate), pairs + 1)
    assert InputCheck(0.5, 0.5, 1.0, 5001, 5000, 10_001).pairs_needed() is None
    for n in range(8, 400):
        for side in range(n // 2 + 1, n + 1):
            assert (2 * side - n) ** 2 >= 5 * n or sign_test(side, n - side) >= 0.01


def test_the_better_way_is_told_from_chance():
    same = np.arange(400) % 2 == 0
    random = np.random.default_rng(0)
    good, bad = same + random.normal(size=400) * 0.2, random.normal(size=400)
    check = compare_inputs(bad, good, same)
    assert check.other > 0.97 > 0.65 > check.declared and check.probability_of_chance < 1e-10
    again = compare_inputs(good, good + 1e-9, same)
    assert again.declared == again.other and again.probability_of_chance == 1
