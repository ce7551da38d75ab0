"""The training data: labelled images, resized and augmented, in batches.

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

from facemargin.data.augmentation.augment import augment_in_place, draw_augmentation
from facemargin.data.augmentation.config import AugmentationConfig
from facemargin.data.augmentation.draws import AugmentationDraws
from facemargin.data.images.pixels import resize_square
from facemargin.data.source import LabeledImages, RGBImage
from facemargin.errors import CorruptImageError, ImageError
from facemargin.randomness import SampleStreams

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingBatch:
    """`images_BCHW` uint8 RGB, `labels_B` and `indices_B` int64; `corrupt` names the images that were left out.

    B is the batch size minus the number of corrupt images; it may be 0. `positions_B` int64 are the positions of the
    readable images in the requested batch, with gaps for corrupt ones. `draws`, one per image, are the augmentations
    that `augment_batch` has to apply; None if the images are augmented already.
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

    def share_memory(self) -> "TrainingBatch":
        """The batch, its tensors now in memory that can be handed to another process. (Else torch moves them there
        after a worker has returned them, and nobody hears of an error: the training would wait forever.)"""
        for tensor in (self.images_BCHW, self.labels_B, self.indices_B, self.positions_B):
            if tensor is not None:
                tensor.share_memory_()
        return self


def _in_worker() -> bool:
    return torch.utils.data.get_worker_info() is not None


def _new_images(number: int, size: int) -> Tensor:
    """Uninitialised uint8 (number, size, size, 3); in a worker already in the memory in which it hands them over."""
    shape = (number, size, size, 3)
    if not (_in_worker() and number):
        return torch.empty(shape, dtype=torch.uint8)
    storage = torch.UntypedStorage._new_shared(number * size * size * 3)
    return torch.empty(0, dtype=torch.uint8).set_(storage).view(shape)


class TrainingSet(Dataset[TrainingBatch]):
    """Augmented `image_size` × `image_size` images of `images`, for DataLoader(batch_size=None, sampler=…): an item is
    a batch, given by the (epoch, index) of its samples.

    A batch is made in stages, each for all its images, so that the code of a stage stays in the processor's cache.
    Images are augmented in place in the batch.

    The augmentation depends on (seed, epoch, index) only. Without `apply_augmentation` it is only drawn, and the draws
    are returned with the images for `augment_batch`. `cache_decoded` decodes all images once at the start and keeps
    them in memory that the workers share, which takes N·image_size²·3 bytes for N images.
    """

    def __init__(
        self,
        images: LabeledImages,
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
        self._streams = SampleStreams()
        self._corrupt: dict[int, str] = {}
        self._cache = self._decode_all() if cache_decoded else None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, samples: Sequence[tuple[int, int]]) -> TrainingBatch:
        size = self.image_size
        images_BHWC = _new_images(len(samples), size)
        pixels_BHWC = images_BHWC.numpy()
        positions: list[int] = []
        corrupt: list[str] = []
        for position, (_, index) in enumerate(samples):
            try:
                pixels_BHWC[len(positions)] = self._resized(index)
                positions.append(position)
            except ImageError as error:
                corrupt.append(str(error))
        indices_B = np.array([samples[position][1] for position in positions], dtype=np.int64)
        draws = self._augment(pixels_BHWC, [samples[position] for position in positions])
        batch = TrainingBatch(
            images_BCHW=images_BHWC[: len(positions)].permute(0, 3, 1, 2),
            labels_B=torch.from_numpy(np.asarray(self.images.labels[indices_B], dtype=np.int64)),
            indices_B=torch.from_numpy(indices_B),
            corrupt=corrupt,
            positions_B=torch.tensor(positions, dtype=torch.int64),
            draws=draws,
        )
        return batch.share_memory() if _in_worker() else batch

    def _augment(
        self, pixels_BHWC: NDArray[np.uint8], samples: Sequence[tuple[int, int]]
    ) -> list[AugmentationDraws] | None:
        """Augment the images of the samples in place, or return their draws."""
        draws = []
        for pixels_HWC, (epoch, index) in zip(pixels_BHWC, samples, strict=False):
            generator = self._streams.at(self.seed, epoch, index)
            if self.apply_augmentation:
                augment_in_place(pixels_HWC, self.augmentation, generator)
            else:
                draws.append(draw_augmentation(self.image_size, self.image_size, self.augmentation, generator))
        return None if self.apply_augmentation else draws

    def _resized(self, index: int) -> RGBImage:
        if index in self._corrupt:
            raise CorruptImageError(self._corrupt[index])
        if self._cache is not None:
            cached: RGBImage = self._cache[index]
            return cached
        return resize_square(self.images.read(index), self.image_size)

    def _decode_all(self) -> NDArray[np.uint8]:
        cache = np.zeros((len(self.images), self.image_size, self.image_size, 3), dtype=np.uint8)
        for index in range(len(self.images)):
            try:
                cache[index] = resize_square(self.images.read(index), self.image_size)
            except ImageError as error:
                self._corrupt[index] = str(error)
        return cache


class CorruptImageLog:
    """Counts the corrupt images that batches report, and logs the name of each when it occurs for the first time."""

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def add(self, corrupt: Iterable[str]) -> None:
        """Add the `corrupt` images of one batch."""
        for message in corrupt:
            if message not in self._times:
                logger.warning("corrupt image left out: %s", message)
            self._times[message] += 1

    @property
    def num_images(self) -> int:
        """The number of different corrupt images."""
        return len(self._times)

    @property
    def num_skips(self) -> int:
        """The number of samples that were left out because of them, over all epochs."""
        return self._times.total()


def single_threaded_opencv(worker_id: int) -> None:
    """For DataLoader(worker_init_fn=…): the workers run in parallel already, and OpenCV's own threads would compete
    with them."""
    cv2.setNumThreads(0)
