"""The order of training: the samples of every batch, from the first step of the first epoch to the last."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from facemargin.counting import counted
from facemargin.data.formats.blocks import Blocks
from facemargin.errors import ConfigError
from facemargin.randomness import Purpose, sample_generator


def epoch_order(seed: int, epoch: int, num_samples: int, blocks: Blocks | None = None) -> NDArray[np.int64]:
    """The permutation (num_samples,) in which an epoch visits the samples: it depends on (seed, epoch) only.

    With `blocks`, the samples are shuffled in a way that can be read quickly; see `Blocks.shuffled`.
    """
    generator = sample_generator(seed, epoch, 0, Purpose.ORDER)
    return generator.permutation(num_samples) if blocks is None else blocks.shuffled(generator)


def process_slice(num_samples: int, rank: int, processes: int) -> tuple[int, int]:
    """The range [first, last) of the `num_samples` samples that process `rank` takes. The sizes of the ranges differ by
    at most one."""
    return num_samples * rank // processes, num_samples * (rank + 1) // processes


class EpochBatchSampler(Sampler[list[tuple[int, int]]]):
    """Yields batches of (epoch, index) over all epochs in one stream, so that the workers of a DataLoader run to the
    end.

    Starts with batch number `start_step`, exactly as if the earlier batches had been drawn. An epoch's incomplete batch
    is left out. With several processes, each takes its `process_slice` of every pass of a batch (there are `passes` of
    them), so that together they use each sample once. `blocks` are those of the images. Raises ConfigError if no batch
    is left.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        epochs: int,
        start_step: int = 0,
        rank: int = 0,
        processes: int = 1,
        passes: int = 1,
        blocks: Blocks | None = None,
    ) -> None:
        if num_samples < 1 or batch_size < 1 or epochs < 0 or start_step < 0:
            raise ConfigError(
                f"{counted(num_samples, 'sample')}, batch_size {batch_size}, {counted(epochs, 'epoch')}, "
                f"start_step {start_step}: expected at least one sample, at least one sample per batch, and no "
                "negative numbers"
            )
        if batch_size > num_samples:
            raise ConfigError(
                f"batch_size {batch_size} is larger than the training set of {counted(num_samples, 'image')}, "
                f"which leaves no complete batch: lower it to {num_samples} or less"
            )
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self.epochs = epochs
        self.start_step = start_step
        self.rank, self.processes, self.passes = rank, processes, passes
        self.blocks = blocks
        self.steps_per_epoch = num_samples // batch_size

    def __len__(self) -> int:
        """The number of batches from `start_step` to the end of the last epoch."""
        return max(0, self.epochs * self.steps_per_epoch - self.start_step)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        first_epoch, first_batch = divmod(self.start_step, self.steps_per_epoch)
        for epoch in range(first_epoch, self.epochs):
            order = epoch_order(self.seed, epoch, self.num_samples, self.blocks)
            for batch in range(first_batch if epoch == first_epoch else 0, self.steps_per_epoch):
                start = batch * self.batch_size
                samples = order[start : start + self.batch_size]
                yield [(epoch, int(index)) for index in self._of_this_process(samples)]

    def _of_this_process(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """The samples of a batch that this process takes, pass after pass."""
        parts = np.array_split(samples, self.passes)
        return np.concatenate([part[slice(*process_slice(len(part), self.rank, self.processes))] for part in parts])
