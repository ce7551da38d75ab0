"""What a trainer iterates over: labelled images, resized, augmented, in batches.

Shapes: B images in a batch, C colours, H × W pixels.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from facemargin.data.augmentation import augment, draw_augmentation
from facemargin.data.augmentation_config import AugmentationConfig
from facemargin.data.augmentation_draws import AugmentationDraws
from facemargin.data.pixels import resize_square, stack_images, to_tensor
from facemargin.data.randomness import sample_generator
from facemargin.data.source import LabelledImages, RGBImage
from facemargin.errors import CorruptImageError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingSample:
    """One image (3, H, W) uint8 with its label and index, or `corrupt`, which says what is wrong with it.

    `draws` is the augmentation that the image is still to get, None where it has had it.
    """

    image: Tensor | None
    label: int
    index: int
    corrupt: str | None = None
    draws: AugmentationDraws | None = None


@dataclass(frozen=True)
class TrainingBatch:
    """`images_BCHW` uint8 RGB, `labels_B` and `indices_B` int64; `corrupt` names the images that had to be left out.

    B is the batch size less the corrupt images, down to 0. `positions_B` int64 are the readable images' positions in
    the batch that was asked for, with gaps where corrupt ones were. `draws`, one an image, is the augmentation that
    `augment_batch` is still to apply; None where the images have had it.
    """

    images_BCHW: Tensor
    labels_B: Tensor
    indices_B: Tensor
    corrupt: list[str]
    positions_B: Tensor | None = None
    draws: list[AugmentationDraws] | None = None

    def __len__(self) -> int:
        return len(self.labels_B)

    def pin_memory(self) -> "TrainingBatch":
        """A copy in page-locked memory; DataLoader(pin_memory=True) calls this."""
        return replace(
            self,
            images_BCHW=self.images_BCHW.pin_memory(),
            labels_B=self.labels_B.pin_memory(),
            indices_B=self.indices_B.pin_memory(),
            positions_B=None if self.positions_B is None else self.positions_B.pin_memory(),
        )


class TrainingSet(Dataset[TrainingSample]):
    """Augmented `image_size` × `image_size` images of `images`; an item is addressed by (epoch, index).

    The augmentation depends on (seed, epoch, index) alone. Without `apply_augmentation` it is only drawn, and the draws
    come with the images for `augment_batch`. `cache_decoded` keeps the resized images in memory, which workers share:
    for sets of N images it takes N·image_size²·3 bytes, and the time to decode them once now.
    """

    def __init__(
        self,
        images: LabelledImages,
        image_size: int,
        augmentation: AugmentationConfig | None = None,
        seed: int = 0,
        cache_decoded: bool = False,
        apply_augmentation: bool = True,
    ) -> None:
        self.images = images
        self.image_size = image_size
        self.augmentation = augmentation or AugmentationConfig()
        self.seed = seed
        self.apply_augmentation = apply_augmentation
        self._corrupt: dict[int, str] = {}
        self._cache = self._decode_all() if cache_decoded else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, epoch_and_index: tuple[int, int]) -> TrainingSample:
        epoch, index = epoch_and_index
        label = int(self.images.labels[index])
        try:
            image = self._resized(index)
        except CorruptImageError as error:
            return TrainingSample(None, label, index, corrupt=str(error))
        generator = sample_generator(self.seed, epoch, index)
        if self.apply_augmentation:
            return TrainingSample(to_tensor(augment(image, self.augmentation, generator)), label, index)
        draws = draw_augmentation(self.image_size, self.image_size, self.augmentation, generator)
        return TrainingSample(to_tensor(image), label, index, draws=draws)

    def collate(self, samples: Sequence[TrainingSample]) -> TrainingBatch:
        """The batch of the samples that could be read, for DataLoader(collate_fn=…)."""
        readable = [(position, sample) for position, sample in enumerate(samples) if sample.image is not None]
        images = [sample.image for sample in samples if sample.image is not None]
        draws = [sample.draws for _, sample in readable if sample.draws is not None]
        empty = torch.empty(0, 3, self.image_size, self.image_size, dtype=torch.uint8)
        return TrainingBatch(
            images_BCHW=stack_images(images) if images else empty,
            labels_B=torch.tensor([sample.label for _, sample in readable], dtype=torch.int64),
            indices_B=torch.tensor([sample.index for _, sample in readable], dtype=torch.int64),
            corrupt=[sample.corrupt for sample in samples if sample.corrupt is not None],
            positions_B=torch.tensor([position for position, _ in readable], dtype=torch.int64),
            draws=None if self.apply_augmentation else draws,
        )

    def _resized(self, index: int) -> RGBImage:
        if index in self._corrupt:
            raise CorruptImageError(self._corrupt[index])
        if self._cache is not None:
            return self._cache[index]
        return resize_square(self.images.read(index), self.image_size)

    def _decode_all(self) -> NDArray[np.uint8]:
        cache = np.zeros((len(self.images), self.image_size, self.image_size, 3), dtype=np.uint8)
        for index in range(len(self.images)):
            try:
                cache[index] = resize_square(self.images.read(index), self.image_size)
            except CorruptImageError as error:
                self._corrupt[index] = str(error)
        return cache


class CorruptImageLog:
    """Counts the corrupt images that batches report, and logs each one's name the first time it is met."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def add(self, corrupt: Iterable[str]) -> None:
        """Take note of the `corrupt` of one batch."""
        for message in corrupt:
            if message not in self._times:
                logger.warning("corrupt image left out: %s", message)
            self._times[message] += 1

    @property
    def num_images(self) -> int:
        """How many different images were corrupt."""
        return len(self._times)

    @property
    def num_skips(self) -> int:
        """How many samples were left out because of them, over all epochs."""
        return self._times.total()


def single_threaded_opencv(worker_id: int) -> None:
    """For DataLoader(worker_init_fn=…): workers are the parallelism; OpenCV's own threads would compete with them."""
    cv2.setNumThreads(0)
