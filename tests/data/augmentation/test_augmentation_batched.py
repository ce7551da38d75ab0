"""Draws applied to batches: as OpenCV applies them to each image, whatever the batch, on every device at hand."""

import itertools
from dataclasses import replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch

from facemargin.data.augmentation import batched_geometric, batched_resampling, photometric
from facemargin.data.augmentation.augment import augment, draw_augmentation
from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.augmentation.batched_resampling import resize_taps
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig, Interpolation
from facemargin.data.augmentation.draws import AugmentationDraws, Erasing, Rectangle
from facemargin.data.augmentation.seeded_noise import standard_normal, uniform_gray
from facemargin.data.formats.orl import EmbeddedFaces
from facemargin.data.images.pixels import resize_square, to_tensor
from facemargin.errors import ConfigError
from facemargin.randomness import sample_generator
from facemargin.training.recipe import load_recipe
from tests.data.sample_images import smooth_image

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
WIDE = AugmentationConfig(rotation=20.0, translation=0.1, scale=(0.8, 1.2), shear=0.1, border="repeat")
ADAFACE = load_recipe("adaface_ms1mv2", []).augmentation
STRONG = AugmentationConfig(hue=0.5, brightness=1.0, contrast=1.0, saturation=1.0)
FUNFACE = load_recipe("funface_webface4m", []).augmentation
HALF = AugmentationConfig(**dict.fromkeys(PROBABILITIES, 0.5), hue=0.2)


@cache
def faces(size: int) -> np.ndarray:
    """(60, size, size, 3): half of them as they are, grey; half with three pictures of a person as the colours."""
    people = EmbeddedFaces(range(1, 7))
    gray = np.stack([resize_square(people.read(index), size)[..., 0] for index in range(60)])
    colored = np.stack([gray, np.roll(gray, 1, axis=0), np.roll(gray, 3, axis=0)], axis=-1)
    return np.concatenate([np.repeat(gray[::2, ..., None], 3, axis=-1), colored[1::2]])


def batch(images: np.ndarray, device: str) -> torch.Tensor:
    return torch.stack([to_tensor(image) for image in images]).to(device)


def draws_of(images: np.ndarray, config: AugmentationConfig, epoch: int = 0) -> list[AugmentationDraws]:
    height, width = images.shape[1:3]
    return [draw_augmentation(height, width, config, sample_generator(4, epoch, i)) for i in range(len(images))]


def batched(images: np.ndarray, draws: list[AugmentationDraws], device: str) -> np.ndarray:
    augmented = augment_batch(batch(images, device), draws)
    assert augmented.dtype == torch.uint8 and augmented.device.type == device
    return augmented.cpu().numpy().transpose(0, 2, 3, 1)


# (largest difference, mean difference of the worst picture in grey levels, PSNR of the worst picture in dB). The hue's
# rounding in OpenCV depends on the processor, by a grey level in up to every third value.
TOLERANCES = {
    "flip": (0, 0.0, np.inf),
    "color_jitter": (16, 0.8, 45),
    "affine": (2, 0.15, 50),
    "grayscale": (0, 0.0, np.inf),
    "blur": (2, 0.15, 50),
    "erasing": (0, 0.0, np.inf),
    "low_resolution": (4, 0.35, 50),
    "crop": (0, 0.0, np.inf),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "ranges", [AugmentationConfig(), WIDE, ADAFACE, STRONG, FUNFACE], ids=["usual", "wide", "ada", "strong", "fun"]
)
@pytest.mark.parametrize("name", TOLERANCES)
def test_every_augmentation_agrees_with_opencv_on_faces(name, ranges, device):
    config = replace(ranges, **dict.fromkeys(PROBABILITIES, 0.0) | {name: 1.0}, order=(name,))
    for size in (112, 45):
        cpu = [augment(image, config, sample_generator(4, 0, i)) for i, image in enumerate(faces(size))]
        on_device = batched(faces(size), draws_of(faces(size), config), device)
        if name == "affine" and config.affine_interpolation == "nearest":
            # A place halfway between two pixels may go to either.
            assert (on_device != np.stack(cpu)).any(axis=-1).mean() < 1e-3
        else:
            assert_close(on_device, np.stack(cpu), *TOLERANCES[name])


@pytest.mark.parametrize("device", DEVICES)
def test_all_of_them_one_after_the_other_agree_with_opencv(device):
    config = replace(HALF, noise=0.0)
    images = faces(64)
    cpu = [augment(image, config, sample_generator(4, 0, i)) for i, image in enumerate(images)]
    assert_close(batched(images, draws_of(images, config), device), np.stack(cpu), 24, 1.0, 42)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("recipe", [FUNFACE, ADAFACE], ids=["fun", "ada"])
def test_the_authors_augmentation_agrees_with_that_of_the_cpu(recipe, device):
    often = {name: min(1.0, 2.5 * getattr(recipe, name)) for name in recipe.order if name != "noise"}
    config = replace(recipe, **often, noise=0.0)
    images = faces(112)
    cpu = [augment(image, config, sample_generator(4, 0, i)) for i, image in enumerate(images)]
    assert_close(batched(images, draws_of(images, config), device), np.stack(cpu), 24, 1.0, 42)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_may_mix_orders(device):
    images = faces(45)
    draws = draws_of(images, HALF)
    reversed_ones = draws_of(images, replace(HALF, order=PROBABILITIES[::-1]))
    mixed = [one if i % 2 else other for i, (one, other) in enumerate(zip(draws, reversed_ones, strict=True))]
    expected = np.where(
        (np.arange(60) % 2 == 1)[:, None, None, None],
        batched(images, draws, device),
        batched(images, reversed_ones, device),
    )
    np.testing.assert_array_equal(batched(images, mixed, device), expected)
    assert (batched(images, draws, device) != batched(images, reversed_ones, device)).any()


def assert_close(ours: np.ndarray, theirs: np.ndarray, largest: int, mean: float, psnr: float) -> None:
    difference = np.abs(ours.astype(float) - theirs)
    squared = (difference**2).mean(axis=(1, 2, 3))
    assert difference.max() <= largest
    assert difference.mean(axis=(1, 2, 3)).max() <= mean
    with np.errstate(divide="ignore"):
        assert (10 * np.log10(255**2 / squared)).min() >= psnr
    assert not (theirs == theirs[:, ::-1]).all()  # the pictures are no blanks


@pytest.mark.parametrize("device", DEVICES)
def test_images_that_are_not_square_agree_too(device):
    images = np.stack([smooth_image(seed, 33, 52) for seed in range(40)])
    config = replace(HALF, noise=0.0, border="repeat", blur_sigma=(0.1, 0.5))
    cpu = [augment(image, config, sample_generator(4, 0, i)) for i, image in enumerate(images)]
    difference = np.abs(batched(images, draws_of(images, config), device).astype(float) - cpu)
    assert difference.mean() < 0.5 and difference.mean(axis=(1, 2, 3)).max() < 1.5


@pytest.mark.parametrize("device", DEVICES)
def test_noise_is_the_blend_that_opencv_makes_of_the_seeds_noise(device):
    images, draws = faces(40), draws_of(faces(40), AugmentationConfig(noise=1.0))
    for image, draw, ours in zip(images, draws, batched(images, draws, device), strict=True):
        make = standard_normal if draw.noise.normal else uniform_gray
        pixels = make(torch.tensor([draw.noise.seed]), image.size).view(3, 40, 40).permute(1, 2, 0).contiguous().numpy()
        theirs = image.copy()
        photometric.noise(theirs, draw.noise, pixels)
        assert np.abs(ours.astype(int) - theirs).max() <= 1 and (ours != theirs).mean() < 0.01
    assert {draw.noise.normal for draw in draws} == {False, True}


def test_noise_has_the_moments_of_opencvs():
    flat = np.full((200, 40, 40, 3), 120, np.uint8)
    config = AugmentationConfig(noise=1.0, noise_share=(0.15, 0.15))
    draws = draws_of(flat, config)
    ours = batched(flat, draws, "cpu").astype(float)
    theirs = np.stack([augment(image, config, sample_generator(4, 0, i)) for i, image in enumerate(flat)]).astype(float)
    normal = np.array([draw.noise.normal for draw in draws])
    for kind in (normal, ~normal):
        assert abs(ours[kind].mean() - theirs[kind].mean()) < 0.15
        assert ours[kind].std() == pytest.approx(theirs[kind].std(), rel=0.01)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("config", [HALF, FUNFACE, *(AugmentationConfig(**{name: 1.0}) for name in PROBABILITIES)])
def test_a_sample_comes_out_the_same_bit_for_bit_in_any_batch(config, device):
    images = faces(45)
    draws = draws_of(images, config)
    together = batched(images, draws, device)
    order = np.random.default_rng(0).permutation(len(images))
    np.testing.assert_array_equal(batched(images[order], [draws[i] for i in order], device), together[order])
    for first, last in ((0, 1), (1, 2), (2, 5), (5, 22), (22, 60)):
        np.testing.assert_array_equal(batched(images[first:last], draws[first:last], device), together[first:last])


@pytest.mark.parametrize("device", DEVICES)
def test_images_without_draws_and_the_input_stay_as_they_were(device):
    images = batch(faces(45), device)
    before = images.clone()
    draws = draws_of(faces(45), HALF)
    draws[::3] = [AugmentationDraws()] * len(draws[::3])
    augmented = augment_batch(images, draws)
    assert torch.equal(images, before) and torch.equal(augmented[::3], images[::3])
    assert not torch.equal(augmented, images)
    channels_last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment_batch(channels_last, draws), augmented)
    assert augment_batch(images[:0], []).shape == (0, 3, 45, 45)


@pytest.mark.skipif(len(DEVICES) == 1, reason="needs a second kind of device")
def test_devices_differ_by_a_grey_level_at_most_and_not_in_noise():
    images = faces(112)
    for config in (HALF, AugmentationConfig(noise=1.0)):
        cpu, cuda = (batched(images, draws_of(images, config), device).astype(int) for device in DEVICES)
        assert np.abs(cpu - cuda).mean() < 0.01


def test_erasing_hides_the_rectangle_with_its_grey_to_the_pixel():
    image = faces(45)[:2]
    draws = [AugmentationDraws(erasing=Erasing(Rectangle(3, 9, 10, 30), 77)), AugmentationDraws()]
    expected = image.copy()
    for row in range(3, 9):
        for column in range(10, 30):
            expected[0, row, column] = 77
    np.testing.assert_array_equal(batched(image, draws, "cpu"), expected)


def test_images_of_another_type_shape_or_number_are_refused():
    images, draws = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), [AugmentationDraws(flip=True)] * 2
    with pytest.raises(ConfigError, match="float32 of shape"):
        augment_batch(images.float(), draws)
    with pytest.raises(ConfigError, match=r"\(2, 8, 8, 3\), expected uint8 \(B, 3, H, W\)"):
        augment_batch(images.permute(0, 2, 3, 1), draws)
    with pytest.raises(ConfigError, match="2 images and 1 draw"):
        augment_batch(images, draws[:1])


def test_the_nearest_pixel_is_that_of_a_loop_in_float64():
    """Half a pixel goes to the even one; beyond the edges it is black. Positions are the same on every device, bit for
    bit, and what is nearest to them is too."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (3, 3, 5, 7), dtype=torch.uint8, generator=generator)
    x, y = (torch.rand(3, 5, 7, generator=generator) * (size + 3) - 2 for size in (7, 5))
    x[0, 0, :4], y[0, 0, :4] = torch.tensor([-0.5, 0.5, 1.5, 6.5]), torch.tensor([0.5, 4.5, -0.5001, 2.5])
    moved = batched_geometric._nearest(images, x, y)
    for image, row, column in itertools.product(range(3), range(5), range(7)):
        source_y, source_x = (round(float(values[image, row, column])) for values in (y, x))
        inside = 0 <= source_y < 5 and 0 <= source_x < 7
        expected = images[image, :, source_y, source_x] if inside else torch.zeros(3, dtype=torch.uint8)
        assert torch.equal(moved[image, :, row, column], expected)


@pytest.mark.parametrize("interpolation", get_args(Interpolation))
def test_lines_summed_at_once_are_those_summed_tap_by_tap(interpolation):
    """A GPU sums them at once, which can be done on the CPU, too."""
    sizes = [(40, 7), (40, 23), (40, 40)]
    taps = [resize_taps(size, new_size, interpolation) for size, new_size in sizes]
    all_lines = torch.rand(3 * 40, 15) * 255
    found, expected = (
        sums(all_lines, taps, num_lines=40, new_lines=40)
        for sums in (batched_resampling._sums_at_once, batched_resampling._sums_tap_by_tap)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    assert not found[7:40].any() and found[:7].any() and found[40:63].any()
    alone = batched_resampling._sums_at_once(all_lines[40:80], taps[1:2], num_lines=40, new_lines=23)
    assert torch.equal(alone, found[40:63])
