"""Drawing apart from applying: the pictures of the CPU stay what they were, and the draws are what was applied."""

import hashlib
import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from facemargin.data.augmentation import augment as augmentation
from facemargin.data.augmentation import geometric, photometric
from facemargin.data.augmentation.augment import augment, draw_augmentation
from facemargin.data.augmentation.config import PROBABILITIES, AugmentationConfig
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.randomness import sample_generator
from facemargin.training.recipe import load_recipe
from tests.data.augmentation.augmentation_reference import reference_augment

HALF = AugmentationConfig(**dict.fromkeys(PROBABILITIES, 0.5), hue=0.2)
EVERYTHING = AugmentationConfig(
    **dict.fromkeys(PROBABILITIES, 1.0), shear=0.1, border="repeat", erasing_fill="grey", hue=0.1
)
SHAPES = [(48, 48), (37, 52), (112, 112), (20, 31)]


def blocks(seed: int, height: int, width: int) -> np.ndarray:
    """A picture of coarse blocks and fine grain, from integer draws alone: the same on every machine."""
    coarse = np.random.default_rng(seed).integers(0, 200, (-(-height // 6), -(-width // 6), 3), dtype=np.uint8)
    fine = np.random.default_rng(seed + 1).integers(0, 56, (height, width, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((6, 6, 1), np.uint8))[:height, :width] + fine


def checksum(config: AugmentationConfig) -> str:
    """Of forty augmented pictures, and of what their generators give next."""
    digest = hashlib.sha256()
    for index in range(40):
        generator = sample_generator(3, 1, index)
        digest.update(augment(blocks(index, *SHAPES[index % 4]), config, generator).tobytes())
        digest.update(generator.bytes(8))
    return digest.hexdigest()[:16]


# Those augmentations whose pixels OpenCV computes alike on every processor; with the code before drawing was apart.
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["flip"], "75fc04e76b523c60"),
        (["grayscale"], "7cb7e4905230dc7c"),
        (["blur"], "df3217878d16ba0f"),
        (["noise"], "84c6db41c3dcc165"),
        (["erasing"], "5084cdcc7a077f6a"),
        (["crop"], "d2df753553d3f94f"),
    ],
)
def test_the_pictures_are_those_of_the_first_version(names, expected):
    assert checksum(AugmentationConfig(**dict.fromkeys(names, 1.0))) == expected


def test_the_pictures_of_a_mixture_are_those_of_the_first_version():
    names = ["flip", "grayscale", "blur", "noise", "erasing", "crop"]
    assert checksum(AugmentationConfig(**dict.fromkeys(names, 0.5), erasing_fill="grey")) == "d6a3cb3544263b83"


@pytest.mark.parametrize("name", [*PROBABILITIES, "half", "everything"])
def test_augmenting_is_drawing_in_the_order_of_the_reference(name):
    config = {"half": HALF, "everything": EVERYTHING}.get(name) or replace(EVERYTHING, **only(name))
    for index in range(80):
        image = blocks(index, *SHAPES[index % 4])
        ours, theirs = sample_generator(5, 2, index), sample_generator(5, 2, index)
        np.testing.assert_array_equal(augment(image, config, ours), reference_augment(image, config, theirs))
        assert ours.bytes(8) == theirs.bytes(8)


AUTHORS = [load_recipe(name, []).augmentation for name in ("funface_webface4m", "adaface_ms1mv2")]


@pytest.mark.parametrize("config", AUTHORS, ids=["FunFace", "AdaFace"])
def test_the_authors_augmentation_is_that_of_the_reference(config):
    config = replace(config, **{name: min(1.0, 3 * getattr(config, name)) for name in PROBABILITIES})
    for index in range(40):
        image = blocks(index, *SHAPES[index % 4])
        ours, theirs = sample_generator(5, 2, index), sample_generator(5, 2, index)
        difference = augment(image, config, ours).astype(int) - reference_augment(image, config, theirs)
        assert ours.bytes(8) == theirs.bytes(8)
        # PyTorch's weights for uint8 images are 16 bits wide: a grey level, rarely more. A place halfway between two
        # pixels may go to either.
        assert (np.abs(difference) > 3).mean() < 2e-3 and np.abs(difference).mean() < 0.2


def only(name: str) -> dict[str, float]:
    return {other: float(other == name) for other in PROBABILITIES}


def applied(image: np.ndarray, draws: AugmentationDraws) -> np.ndarray:
    """The draws, all but the noise, applied one after the other by OpenCV."""
    image = image.copy()
    for name in PROBABILITIES:
        if getattr(draws, name):
            room = geometric if hasattr(geometric, name) else photometric
            getattr(room, name)(image, getattr(draws, name))
    return image


@pytest.mark.parametrize("config", [replace(HALF, noise=0.0), replace(EVERYTHING, noise=0.0)])
def test_the_draws_say_what_augmenting_does(config):
    for index in range(60):
        height, width = SHAPES[index % 4]
        image = blocks(index, height, width)
        draws = draw_augmentation(height, width, config, sample_generator(5, 2, index))
        np.testing.assert_array_equal(applied(image, draws), augment(image, config, sample_generator(5, 2, index)))


def test_what_is_drawn_is_what_augmenting_draws_after_noise_too(monkeypatch):
    used = {}
    for name in PROBABILITIES:
        room = geometric if hasattr(geometric, name) else photometric
        record = recorder(name, getattr(room, name), used)
        monkeypatch.setattr(room, name, record)
        monkeypatch.setitem(augmentation._APPLY, name, record)
    followed = set()
    for config in (HALF, EVERYTHING, replace(HALF, crop=0.0, low_resolution=0.0)):
        for index in range(100):
            used.clear()
            augment(blocks(index, 24, 20), config, sample_generator(5, 2, index))
            draws = draw_augmentation(24, 20, config, sample_generator(5, 2, index))
            noise = draws.noise and replace(draws.noise, seed=0)  # augmenting has no use for a seed
            assert AugmentationDraws(**used) == replace(draws, noise=noise)
            if noise:
                followed.add((noise.normal, list(used)[-1] == "noise"))
    assert followed == {(False, False), (False, True), (True, False), (True, True)}


def recorder(name, function, used):
    def record(image, draw, *rest):
        used[name] = draw
        return function(image, draw, *rest)

    return record


def test_noise_has_a_seed_of_its_own_in_every_sample_and_epoch():
    noise = AugmentationConfig(noise=1.0)
    seeds = [
        draw_augmentation(8, 8, noise, sample_generator(seed, epoch, index)).noise.seed
        for seed in range(3)
        for epoch in range(3)
        for index in range(50)
    ]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert draw_augmentation(8, 8, noise, sample_generator(1, 1, 7)).noise.seed == seeds[50 * (3 + 1) + 7]


def test_draws_are_light_and_survive_the_way_from_a_worker():
    draws = [draw_augmentation(112, 112, EVERYTHING, sample_generator(0, 0, index)) for index in range(100)]
    sent = pickle.dumps(draws)
    assert pickle.loads(sent) == draws and len(sent) < 600 * len(draws)
    assert [field.name for field in fields(AugmentationDraws)] == [*PROBABILITIES, "order"]
    assert draw_augmentation(112, 112, AugmentationConfig(), sample_generator(0, 0, 0)) == AugmentationDraws()
