"""Training batches: the same from any number of workers, without the images that are corrupt."""

import logging

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from facemargin.data.augmentation.augment import augment
from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.formats.folder import FolderImages
from facemargin.data.images.pixels import normalize, resize_square
from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.source import ArrayImages, WithLabels
from facemargin.data.training_set import CorruptImageLog, TrainingBatch, TrainingSet, single_threaded_opencv
from facemargin.randomness import sample_generator
from tests.data.sample_images import smooth_image, write_people

AUGMENTATION = AugmentationConfig(flip=0.5, color_jitter=0.5, affine=0.5, noise=0.5, erasing=0.5, crop=0.5)


@pytest.fixture
def people(tmp_path):
    write_people(tmp_path / "people", [4, 3, 5])
    return tmp_path / "people"


def batches(training_set: TrainingSet, workers: int, start_step: int = 0) -> list[TrainingBatch]:
    sampler = EpochBatchSampler(len(training_set), 5, seed=1, epochs=3, start_step=start_step)
    loader = DataLoader(
        training_set,
        batch_size=None,
        sampler=sampler,
        num_workers=workers,
        worker_init_fn=single_threaded_opencv,
    )
    return list(loader)


def assert_equal(ours: list[TrainingBatch], theirs: list[TrainingBatch]) -> None:
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.images_BCHW, b.images_BCHW) and torch.equal(a.labels_B, b.labels_B)
        assert torch.equal(a.indices_B, b.indices_B) and a.corrupt == b.corrupt


def test_a_batch_holds_resized_images_labels_and_indices(people):
    training_set = TrainingSet(FolderImages(people), image_size=24)
    batch = batches(training_set, workers=0)[0]
    assert batch.images_BCHW.shape == (5, 3, 24, 24) and batch.images_BCHW.dtype == torch.uint8
    assert batch.labels_B.dtype == batch.indices_B.dtype == torch.int64 and len(batch) == 5 and batch.corrupt == []
    for image_CHW, label, index in zip(batch.images_BCHW, batch.labels_B, batch.indices_B, strict=True):
        assert label == training_set.images.labels[index]
        expected = resize_square(training_set.images.read(int(index)), 24)
        np.testing.assert_array_equal(image_CHW.numpy().transpose(1, 2, 0), expected)


@pytest.mark.parametrize("cached", [False, True])
def test_workers_change_nothing(people, cached):
    (people / "person_01" / "1.png").write_bytes(b"garbage")
    training_set = TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=1, cache_decoded=cached)
    alone = batches(training_set, workers=0)
    assert_equal(batches(training_set, workers=2), alone)
    assert_equal(alone, batches(TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=1), workers=0))


def test_resuming_at_a_step_gives_the_rest_of_the_stream(people):
    training_set = TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=1)
    whole = batches(training_set, workers=0)
    assert_equal(batches(training_set, workers=2, start_step=3), whole[3:])


def test_epochs_and_seeds_augment_differently(people):
    images = FolderImages(people)
    first = TrainingSet(images, 24, AUGMENTATION, seed=1)
    other = TrainingSet(images, 24, AUGMENTATION, seed=2)
    ours, later, others = (
        one[[(epoch, index) for index in range(12)]].images_BCHW for one, epoch in ((first, 0), (first, 1), (other, 0))
    )
    assert sum(torch.equal(*pair) for images in (later, others) for pair in zip(ours, images, strict=True)) < 4


def test_a_batch_is_its_images_augmented_one_by_one(people):
    images = FolderImages(people)
    samples = [(epoch, index) for epoch in (0, 3) for index in (7, 2, 11, 2)]
    batch = TrainingSet(images, 24, AUGMENTATION, seed=5)[samples]
    for image_CHW, (epoch, index) in zip(batch.images_BCHW, samples, strict=True):
        image = resize_square(images.read(index), 24)
        expected = augment(image, AUGMENTATION, sample_generator(5, epoch, index))
        np.testing.assert_array_equal(image_CHW.numpy().transpose(1, 2, 0), expected)


def test_what_is_cached_is_not_augmented_where_it_lies(people):
    training_set = TrainingSet(FolderImages(people), 24, AUGMENTATION, seed=5, cache_decoded=True)
    samples = [(0, index) for index in range(12)]
    first = training_set[samples].images_BCHW.clone()
    assert torch.equal(training_set[samples].images_BCHW, first)


@pytest.mark.parametrize("workers", [0, 2])
def test_corrupt_images_are_left_out_and_named(people, workers):
    broken = people / "person_02" / "3.png"
    broken.write_bytes(broken.read_bytes()[:-30])
    training_set = TrainingSet(FolderImages(people), 24)
    index = [training_set.images.describe(i) for i in range(12)].index(str(broken))
    for batch in batches(training_set, workers):
        assert index not in batch.indices_B.tolist()
        assert len(batch) + len(batch.corrupt) == 5
        assert all(str(broken) in name and "truncated" in name for name in batch.corrupt)
    assert sum(len(batch.corrupt) for batch in batches(training_set, workers)) >= 1


def test_a_batch_of_nothing_but_corrupt_images_is_empty(people):
    for path in people.rglob("*.png"):
        path.write_bytes(b"garbage")
    batch = batches(TrainingSet(FolderImages(people), 24), workers=0)[0]
    assert len(batch) == 0 and batch.images_BCHW.shape == (0, 3, 24, 24) and len(batch.corrupt) == 5
    assert batch.labels_B.dtype == batch.indices_B.dtype == torch.int64


def test_each_corrupt_image_is_logged_once_and_counted_every_time(caplog):
    log = CorruptImageLog()
    with caplog.at_level(logging.WARNING):
        for names in (["a.jpg: truncated"], [], ["b.jpg: empty", "a.jpg: truncated"]):
            log.add(names)
    assert [record.getMessage() for record in caplog.records] == [
        "corrupt image left out: a.jpg: truncated",
        "corrupt image left out: b.jpg: empty",
    ]
    assert log.num_images == 2 and log.num_skips == 3


def test_the_cache_reads_each_image_once(monkeypatch):
    read = []
    source = WithLabels(ArrayImages([smooth_image(seed) for seed in range(4)]), [0, 0, 1, 1], ["ann", "bob"])
    monkeypatch.setattr(WithLabels, "read", lambda self, index: read.append(index) or smooth_image(index))
    training_set = TrainingSet(source, 24, AUGMENTATION, cache_decoded=True)
    for epoch in range(3):
        training_set[[(epoch, index) for index in range(4)]]
    assert read == [0, 1, 2, 3]


def test_normalising_maps_grey_values_to_plus_minus_one():
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    expected = [(value - 127.5) / 127.5 for value in range(256)]
    normalized = normalize(images)
    assert normalized.dtype == torch.float32 and normalized.min() == -1 and normalized.max() == 1
    torch.testing.assert_close(
        normalized.flatten().double(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0
    )


def test_shrinking_averages_areas():
    image = smooth_image(0, 40, 40)
    expected = image.reshape(20, 2, 20, 2, 3).mean(axis=(1, 3))
    assert np.abs(resize_square(image, 20) - expected).max() <= 0.5
    assert resize_square(image, 40) is image
    assert resize_square(smooth_image(0, 30, 20), 50).shape == (50, 50, 3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a CUDA device")
def test_a_batch_can_be_pinned(people):
    batch = batches(TrainingSet(FolderImages(people), 24), workers=0)[0]
    assert batch.pin_memory().images_BCHW.is_pinned() and torch.equal(batch.pin_memory().labels_B, batch.labels_B)
