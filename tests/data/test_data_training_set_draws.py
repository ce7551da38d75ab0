"""Training batches whose augmentation is drawn but left to the device, and where in the batch their images belong."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from facemargin.data.augmentation.augment import draw_augmentation
from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.formats.folder import FolderImages
from facemargin.data.images.pixels import resize_square, to_tensor
from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.training_set import TrainingBatch, TrainingSet
from facemargin.randomness import sample_generator
from tests.data.sample_images import smooth_image, write_people

AUGMENTATION = AugmentationConfig(flip=0.5, grayscale=0.3, erasing=0.5, crop=0.5)  # exact on every device


@pytest.fixture
def people(tmp_path):
    write_people(tmp_path / "people", [4, 3, 5])
    return tmp_path / "people"


def batches(training_set: TrainingSet, workers: int = 0, batch_size: int = 5) -> list[TrainingBatch]:
    sampler = EpochBatchSampler(len(training_set), batch_size, seed=1, epochs=3)
    return list(DataLoader(training_set, batch_size=None, sampler=sampler, num_workers=workers))


@pytest.mark.parametrize("cached", [False, True])
def test_images_come_as_they_are_and_their_draws_with_them(people, cached):
    training_set = TrainingSet(FolderImages(people), 24, AUGMENTATION, 3, cached, apply_augmentation=False)
    for epoch in range(2):
        batch = training_set[[(epoch, index) for index in range(12)]]
        for index in range(12):
            expected = to_tensor(resize_square(training_set.images.read(index), 24))
            assert torch.equal(batch.images_BCHW[index], expected)
            generator = sample_generator(3, epoch, index)
            assert batch.draws[index] == draw_augmentation(24, 24, AUGMENTATION, generator)


@pytest.mark.parametrize("workers", [0, 2])
def test_applied_later_the_draws_give_the_same_batches(people, workers):
    (people / "person_01" / "1.png").write_bytes(b"garbage")
    here = batches(TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=3))
    later = batches(TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=3, apply_augmentation=False), workers)
    assert any(batch.corrupt for batch in here)
    for one, other in zip(here, later, strict=True):
        assert one.draws is None and len(other.draws) == len(other)
        assert torch.equal(augment_batch(other.images_BCHW, other.draws), one.images_BCHW)
        assert torch.equal(one.indices_B, other.indices_B) and torch.equal(one.positions_B, other.positions_B)


@pytest.mark.parametrize("apply", [True, False])
def test_positions_have_gaps_where_corrupt_images_were(people, apply):
    broken = [people / "person_00" / "2.png", people / "person_02" / "0.png"]
    for path in broken:
        path.write_bytes(b"garbage")
    training_set = TrainingSet(FolderImages(people), 24, AUGMENTATION, apply_augmentation=apply)
    sampler = EpochBatchSampler(12, 6, seed=1, epochs=3)
    gaps = 0
    for asked, batch in zip(sampler, batches(training_set, batch_size=6), strict=True):
        assert batch.positions_B.dtype == torch.int64 and len(batch.positions_B) == len(batch)
        for position, index in zip(batch.positions_B.tolist(), batch.indices_B.tolist(), strict=True):
            assert asked[position][1] == index
        missing = set(range(6)) - set(batch.positions_B.tolist())
        assert len(missing) == len(batch.corrupt)
        gaps += len(missing)
    assert gaps == 2 * 3


def test_a_batch_of_nothing_but_corrupt_images_has_no_positions_and_no_draws(people):
    for path in people.rglob("*.png"):
        path.write_bytes(b"garbage")
    batch = batches(TrainingSet(FolderImages(people), 24, AUGMENTATION, apply_augmentation=False))[0]
    assert batch.positions_B.shape == (0,) and batch.positions_B.dtype == torch.int64 and batch.draws == []
    assert augment_batch(batch.images_BCHW, batch.draws).shape == (0, 3, 24, 24)


def test_a_batch_made_by_hand_needs_neither_positions_nor_draws():
    image = to_tensor(smooth_image(0, 24, 24))[None]
    batch = TrainingBatch(image, torch.tensor([0]), torch.tensor([0]), corrupt=[])
    assert batch.positions_B is None and batch.draws is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_pinning_keeps_positions_and_draws(people):
    batch = batches(TrainingSet(FolderImages(people), 24, AUGMENTATION, apply_augmentation=False))[0]
    pinned = batch.pin_memory()
    assert pinned.positions_B.is_pinned() and pinned.draws == batch.draws
    np.testing.assert_array_equal(pinned.positions_B.numpy(), batch.positions_B.numpy())
