"""The stream of batches that a run trains on."""

from torch.utils.data import DataLoader

from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.source import LabeledImages
from facemargin.data.training_set import TrainingBatch, TrainingSet, single_threaded_opencv
from facemargin.training.interrupt import ignore_interrupts
from facemargin.training.recipe import model_info
from facemargin.training.shared_memory import what_fits
from facemargin.training.state import TrainingState

# Batches that each worker has ready or in the making, if shared memory has room for them: a slow disk's hiccups do not
# reach the device.
_PREFETCH = 4


class TrainingBatches:
    """This process's part of the batches of all epochs, from the state's step on.

    Workers read and augment while the device computes. On a GPU batches arrive in page-locked memory, from which they
    are copied beside the kernels that are still running.
    """

    def __init__(self, images: LabeledImages, state: TrainingState) -> None:
        recipe = state.recipe
        where = recipe.data.augment_on
        on_device = where == "device" or (where == "auto" and state.device.type == "cuda")
        self.training_set = TrainingSet(
            images,
            model_info(recipe).input_size,
            recipe.augmentation,
            recipe.seed,
            recipe.data.cache_decoded,
            apply_augmentation=not on_device,
        )
        self.sampler = EpochBatchSampler(
            len(images),
            recipe.batch_size,
            recipe.seed,
            recipe.epochs,
            state.step,
            rank=state.processes.rank,
            processes=state.processes.size,
            passes=recipe.accumulation_steps,
            blocks=images.blocks,
        )
        self.steps_per_epoch = self.sampler.steps_per_epoch
        size = self.training_set.image_size
        largest = -(-recipe.batch_size // state.processes.size) + recipe.accumulation_steps
        self._pins = state.device.type == "cuda"
        in_use = 1 if self._pins else 3  # what is copied to page-locked memory leaves the shared memory
        self._workers, self._prefetch = what_fits(
            recipe.data.workers, _PREFETCH, in_use, largest * size * size * 3, say=state.processes.is_main
        )

    def loader(self) -> "DataLoader[TrainingBatch]":
        """Iterates over the batches."""
        workers = self._workers
        return DataLoader(
            self.training_set,
            batch_size=None,
            sampler=self.sampler,
            num_workers=workers,
            worker_init_fn=_start_worker if workers else None,
            pin_memory=self._pins,
            prefetch_factor=self._prefetch if workers else None,
        )


def _start_worker(worker_id: int) -> None:
    ignore_interrupts()
    single_threaded_opencv(worker_id)
