"""Training from the first step to the last: what `facemargin train` does."""

from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from torch.utils.data import DataLoader

from facemargin.data.open import open_images, open_verification
from facemargin.data.overlap import identity_overlap
from facemargin.data.sampler import EpochBatchSampler
from facemargin.data.source import LabelledImages
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.data.training_set import CorruptImageLog, TrainingBatch, TrainingSet, single_threaded_opencv
from facemargin.data.verification import VerificationSet
from facemargin.errors import ConfigError, NonFiniteLossError
from facemargin.training.checkpoint import checkpoint_steps, save_checkpoint
from facemargin.training.config import SMALLEST_PASS, Recipe
from facemargin.training.device import training_device
from facemargin.training.interrupt import ignore_interrupts, interruptible
from facemargin.training.metrics_log import MetricsLog
from facemargin.training.progress import TrainingProgress, training_progress
from facemargin.training.recipe import model_info
from facemargin.training.run_folder import RunFolder
from facemargin.training.schedule import learning_rate_factor
from facemargin.training.state import TrainingState
from facemargin.training.step import StepResult, training_step
from facemargin.training.tensorboard import TensorBoardLog
from facemargin.training.validation import present_model, validate, validation_row

# Pictures of larger sets than this are not compared with the test sets' one by one; names always are.
_MOST_IMAGES_COMPARED = 20_000


def train(recipe: Recipe, output: Path, resume: bool = False, console: Console | None = None) -> bool:
    """Train `recipe` in the folder `output`; with `resume`, continue the run that is there.

    A resumed run takes the same steps on the same data as one that was never stopped. Returns True when training
    ended, False when SIGINT or SIGTERM stopped it after a checkpoint. Raises ConfigError, DataError or
    NonFiniteLossError; what was written before stays.
    """
    console = console or Console()
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    images = open_training_images(recipe)
    sets = [open_verification(name) for name in recipe.validation.data]
    folder = RunFolder(output)
    saved = folder.open(recipe, resume)
    report_overlap(images, sets, console)
    if recipe.data.synthetic_identities:
        images = WithSyntheticIdentities(images, recipe.data.synthetic_identities)
    state = TrainingState(recipe, images.num_identities, training_device(recipe.device))
    if saved is not None:
        state.load_state_dict(saved)
        console.print(f"continuing {output} after step {state.step}", highlight=False, markup=False)
    return _Run(recipe, folder, state, images, sets, console).run()


def open_training_images(recipe: Recipe) -> LabelledImages:
    """The training images that a recipe names; ConfigError where it names none."""
    if not recipe.data.train:
        raise ConfigError("data.train is empty: name a data set, as in --data.train path/to/faces")
    return open_images(recipe.data.train)


def report_overlap(images: LabelledImages, sets: Sequence[VerificationSet], console: Console) -> None:
    """Say which people or pictures of the training set are in a test set, if any are."""
    for one in sets:
        overlap = identity_overlap(images, one, compare_images=len(images) + len(one.images) <= _MOST_IMAGES_COMPARED)
        label = "[red]warning:[/]" if overlap.found else "overlap check:"
        console.print(label, escape(str(overlap)), highlight=False)


class _Run:
    """One training run: the loop, and what it writes when."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        state: TrainingState,
        images: LabelledImages,
        sets: Sequence[VerificationSet],
        console: Console,
    ) -> None:
        self.recipe, self.folder, self.state, self.sets, self.console = recipe, folder, state, sets, console
        size = model_info(recipe).input_size
        self.training_set = TrainingSet(images, size, recipe.augmentation, recipe.seed, recipe.data.cache_decoded)
        self.sampler = EpochBatchSampler(len(images), recipe.batch_size, recipe.seed, recipe.epochs, state.step)
        self.steps_per_epoch = self.sampler.steps_per_epoch
        self.last_step = recipe.epochs * self.steps_per_epoch
        self.metrics = MetricsLog(folder.metrics, state.step)
        self.validation = MetricsLog(folder.validation, state.step)
        self.tensorboard = TensorBoardLog(folder.path, state.step) if recipe.logging.tensorboard else None
        self.corrupt = CorruptImageLog()

    def run(self) -> bool:
        """The steps that are left; see `train`."""
        first = self.state.step
        with (
            interruptible() as interruption,
            training_progress(self.console, first, self.last_step, self.steps_per_epoch) as progress,
        ):
            for batch in self._loader():
                self._step(batch, progress)
                if self._is_checkpoint_step() or interruption.requested:
                    self._checkpoint()
                if interruption.requested and self.state.step < self.last_step:
                    self._say_interrupted()
                    return False
        self.folder.export(self.state)
        self._say_finished(progress, first)
        return True

    def _loader(self) -> "DataLoader[TrainingBatch]":
        workers = self.recipe.data.workers
        return DataLoader(
            self.training_set,  # type: ignore[arg-type]
            batch_sampler=self.sampler,
            collate_fn=self.training_set.collate,
            num_workers=workers,
            worker_init_fn=_start_worker if workers else None,
            pin_memory=self.state.device.type == "cuda",
            prefetch_factor=4 if workers else None,
        )

    def _step(self, batch: TrainingBatch, progress: TrainingProgress) -> None:
        self.corrupt.add(batch.corrupt)
        if len(batch) < SMALLEST_PASS:
            self.console.print(f"step {self.state.step + 1} is left out: {len(batch)} readable images", highlight=False)
            self.state.step += 1
        else:
            self._optimize(batch, progress)
        every = self.recipe.validation.every_epochs * self.steps_per_epoch
        if self.sets and (self.state.step == self.last_step or (every and self.state.step % every == 0)):
            self._validate()

    def _optimize(self, batch: TrainingBatch, progress: TrainingProgress) -> None:
        state = self.state
        factor = learning_rate_factor(self.recipe.schedule, state.step, self.steps_per_epoch, self.recipe.epochs)
        learning_rate = self.recipe.optimizer.learning_rate * factor
        try:
            result = training_step(state, batch, learning_rate)
        except NonFiniteLossError as error:
            raise NonFiniteLossError(f"{error}. {self._last_checkpoint()}") from error
        progress.advance(state.step, len(batch), result.loss)
        if state.step % self.recipe.logging.every_steps == 0 or state.step == self.last_step:
            self._log(result, learning_rate, progress)

    def _log(self, result: StepResult, learning_rate: float, progress: TrainingProgress) -> None:
        state = self.state
        row = {
            "step": state.step,
            "epoch": state.step / self.steps_per_epoch,
            "loss": result.loss,
            **(result.parts if len(result.parts) > 1 else {}),
            "learning_rate": learning_rate,
            "gradient_norm": result.gradient_norm,
            **result.sample_means,
            "images_per_second": round(progress.images_per_second, 1),
        }
        self.metrics.write(row)
        if self.tensorboard is not None:
            self.tensorboard.write(row)

    def _validate(self) -> None:
        epoch = self.state.step // self.steps_per_epoch
        for summary in validate(present_model(self.state), self.sets):
            row = validation_row(self.state.step, epoch, summary)
            self.validation.write(row)
            figures = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float))
            self.console.print(f"epoch {epoch}  {summary.dataset}  {figures}", highlight=False, markup=False)

    def _is_checkpoint_step(self) -> bool:
        every = self.recipe.checkpoint.every_steps or self.steps_per_epoch
        return self.state.step % every == 0 or self.state.step == self.last_step

    def _checkpoint(self) -> None:
        save_checkpoint(self.folder.checkpoints, self.state.step, self.state.state_dict(), self.recipe.checkpoint.keep)

    def _last_checkpoint(self) -> str:
        steps = list(checkpoint_steps(self.folder.checkpoints))
        return f"The last good checkpoint is of step {steps[-1]}" if steps else "There is no checkpoint yet"

    def _say_interrupted(self) -> None:
        self.console.print(
            f"stopped after step {self.state.step} of {self.last_step}; a checkpoint is written, and facemargin train "
            "with --resume continues from here",
            highlight=False,
        )

    def _say_finished(self, progress: TrainingProgress, first: int) -> None:
        if self.corrupt.num_images:
            self.console.print(
                f"[red]warning:[/] {self.corrupt.num_images} corrupt images were left out, "
                f"{self.corrupt.num_skips} times in all; the log above names them",
                highlight=False,
            )
        rate = f" at {progress.images_per_second:,.0f} images/s" if self.state.step > first else ""
        text = f"trained {self.state.step} steps{rate}; model in {self.folder.model}"
        self.console.print(text, highlight=False, markup=False)


def _start_worker(worker_id: int) -> None:
    ignore_interrupts()
    single_threaded_opencv(worker_id)
