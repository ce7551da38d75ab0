"""Training from the first step to the last: what `facemargin train` does."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from facemargin.counting import counted
from facemargin.data.open import open_verification
from facemargin.data.overlap import identity_overlap
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages
from facemargin.data.squareness import warn_of_squashed
from facemargin.data.synthetic_identities import WithSyntheticIdentities
from facemargin.data.training_set import CorruptImageLog
from facemargin.errors import ConfigError, NonFiniteLossError
from facemargin.recording.columns import drop_visits_after, parquet
from facemargin.training.batches import TrainingBatches
from facemargin.training.checkpoint import checkpoint_steps, save_checkpoint
from facemargin.training.config import SMALLEST_PASS, Recipe
from facemargin.training.continuing import check_continues
from facemargin.training.data_fingerprint import DataFingerprint
from facemargin.training.initial import load_initial
from facemargin.training.interrupt import Interruption, interruptible
from facemargin.training.metrics_log import MetricsLog
from facemargin.training.prepared import PreparedBatch, prepared_ahead
from facemargin.training.processes import Processes, processes_of, restarted
from facemargin.training.progress import TrainingProgress, training_progress
from facemargin.training.recipe import check_networks
from facemargin.training.recorder import Recorder
from facemargin.training.run_folder import RunFolder
from facemargin.training.schedule import learning_rate_factor
from facemargin.training.shared_memory import worker_deaths_explained
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from facemargin.training.step_result import StepResult
from facemargin.training.tensorboard import TensorBoardLog
from facemargin.training.training_images import open_training_images
from facemargin.training.validation import model_so_far, validate, validation_row
from facemargin.version import __version__

# Pictures of larger sets than this are not compared with the test sets' one by one; names always are.
_MOST_IMAGES_COMPARED = 20_000


def train(recipe: Recipe, output: Path | str, resume: bool = False, console: Console | None = None) -> bool:
    """Train `recipe` in the folder `output`; with `resume`, continue the run that is there.

    A resumed run takes the same steps on the same data as one that was never stopped; it may be given more epochs, and
    its training set may have moved (see continuing.py). Returns True when training ended, False when SIGINT or SIGTERM
    stopped it after a checkpoint. Raises ConfigError, DataError or NonFiniteLossError; what was written before stays.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> from rich.console import Console
        >>> run = tempfile.mkdtemp() + "/run"
        >>> recipe = fm.load_recipe("small_cpu", epochs=1, batch_size=10, data={"train": "orl:1-3"})
        >>> fm.train(recipe, run, console=Console(quiet=True))
        True
        >>> fm.load(run).embed(fm.open_images("orl:1")).vectors.shape
        (10, 256)
    """
    with processes_of(recipe) as processes:
        console = (console or Console()) if processes.is_main else Console(quiet=True)
        return _train(recipe, Path(output), resume or restarted(processes), console, processes)


def _train(recipe: Recipe, output: Path, resume: bool, console: Console, processes: Processes) -> bool:
    check_networks(recipe)
    if recipe.recorder:
        parquet()  # says what to install
    images = processes.together(lambda: open_training_images(recipe, console))
    _check_processes(recipe, images, processes)
    # One process scores the test sets.
    sets = processes.together(lambda: [open_verification(name) for name in recipe.validation.data])
    folder = RunFolder(output)
    fingerprint = processes.on_main(lambda: DataFingerprint.of(images))

    def check(saved: dict[str, Any], before: Recipe) -> None:
        check_continues(saved, before, recipe, images, fingerprint, console)

    saved = folder.open(recipe, resume, processes, check)
    if processes.is_main:
        report_overlap(images, sets, console)
        for test_set in sets:
            warn_of_squashed(test_set.images)
    if recipe.data.synthetic_identities:
        images = WithSyntheticIdentities(images, recipe.data.synthetic_identities)
    state = TrainingState(recipe, images.num_identities, processes, recipe.epochs * len(images) // processes.size)
    state.training_set = fingerprint.to_dict()
    if saved is not None:
        state.load_state_dict(saved)
        console.print(f"continuing {output} after step {state.step}", highlight=False, markup=False)
    else:
        if resume:
            text = f"{output} has no checkpoint: starting from the beginning"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
        for line in processes.together(lambda: load_initial(state)):
            console.print(f"starting from {line}", highlight=False, markup=False, soft_wrap=True)
    return _Run(recipe, folder, state, images, sets, console).run()


def _check_processes(recipe: Recipe, images: LabeledImages, processes: Processes) -> None:
    """ConfigError unless all processes do the same, on the same data, and there is enough of it for each."""
    if processes.group is None:
        return
    same = {name: repr(value) for name, value in vars(recipe).items() if name != "device"}
    size = {"the number of training images": len(images), "the number of identities": images.num_identities}
    processes.check_same({"facemargin": __version__, "torch": torch.__version__, **same, **size})
    smallest = recipe.batch_size // recipe.accumulation_steps // processes.size
    if smallest < SMALLEST_PASS:
        raise ConfigError(
            f"batch_size {recipe.batch_size} in {recipe.accumulation_steps} accumulation_steps leaves "
            f"{counted(smallest, 'image')} a pass for each of {processes.size} processes: expected at least "
            f"{SMALLEST_PASS}"
        )


def report_overlap(images: LabeledImages, sets: Sequence[VerificationSet], console: Console) -> None:
    """Say which people or pictures of the training set are in a test set, if any are."""
    for test_set in sets:
        few = len(images) + len(test_set.images) <= _MOST_IMAGES_COMPARED
        overlap = identity_overlap(images, test_set, compare_images=few)
        label = "[red]warning:[/]" if overlap.any_shared else "overlap check:"
        console.print(label, escape(str(overlap)), highlight=False)


class _Run:
    """One training run: the loop, and what it writes when."""

    def __init__(
        self,
        recipe: Recipe,
        folder: RunFolder,
        state: TrainingState,
        images: LabeledImages,
        sets: Sequence[VerificationSet],
        console: Console,
    ) -> None:
        self.recipe, self.folder, self.state, self.sets, self.console = recipe, folder, state, sets, console
        self.processes = state.processes
        self.batches = TrainingBatches(images, state)
        self.steps_per_epoch = self.batches.steps_per_epoch
        self.last_step = recipe.epochs * self.steps_per_epoch
        # One process logs; only it may cut off the rows of steps that are taken again.
        main = self.processes.is_main
        self.metrics = MetricsLog(folder.metrics, state.step) if main else None
        self.validation = MetricsLog(folder.validation, state.step) if main else None
        self.tensorboard = TensorBoardLog(folder.path, state.step) if main and recipe.logging.tensorboard else None
        if main:
            drop_visits_after(folder.recording, state.step)
        self.recorder = Recorder(folder.recording, state, images) if recipe.recorder else None
        self.corrupt = CorruptImageLog()
        self.not_logged: tuple[StepResult, float] | None = None
        #: a step whose result has not been read yet, its learning rate and number of images
        self.unread: tuple[StepResult, float, int] | None = None

    def run(self) -> bool:
        """The steps that are left; see `train`."""
        first = self.state.step
        with (
            worker_deaths_explained(),
            self.recorder or nullcontext(),
            closing(prepared_ahead(self.state, self.batches.loader())) as batches,
            interruptible(once=self.processes.group is None) as interruption,
            training_progress(
                self.console, first, self.last_step, self.steps_per_epoch, self.state.compiled
            ) as progress,
        ):
            for batch in batches:
                stop = self._step(batch, progress, interruption)
                if self._is_checkpoint_step() or stop:
                    self._read_result(progress)
                    self._checkpoint()
                if stop and self.state.step < self.last_step:
                    self._say_interrupted()
                    return False
            self._read_result(progress)
        self.folder.export(self.state)
        self._say_finished(progress, first)
        return True

    def _step(self, prepared: PreparedBatch, progress: TrainingProgress, interruption: Interruption) -> bool:
        """One step; whether to stop: because a signal came, of several processes to one of them before the step."""
        batch = prepared.batch
        agreed = self.processes.sum([len(batch), len(batch.corrupt), self._is_to_stop(interruption)])
        images, corrupt, stop = (int(number) for number in agreed)
        if corrupt:
            every_process = self.processes.gather(batch.corrupt)
            if self.processes.is_main:
                self.corrupt.add(name for names in every_process for name in names)
        if images < SMALLEST_PASS:
            self.console.print(f"step {self.state.step + 1} is left out: {images} readable images", highlight=False)
            self.state.step += 1
        else:
            self._optimize(prepared, images, progress)
        every = self.recipe.validation.every_epochs * self.steps_per_epoch
        if self.sets and (self.state.step == self.last_step or (every and self.state.step % every == 0)):
            self._read_result(progress)
            self.processes.on_main(self._validate)
        return stop > 0 or (self.processes.group is None and self._is_to_stop(interruption))

    def _is_to_stop(self, interruption: Interruption) -> bool:
        return interruption.requested or (self.recorder is not None and self.recorder.failed)

    def _optimize(self, batch: PreparedBatch, images: int, progress: TrainingProgress) -> None:
        state = self.state
        factor = learning_rate_factor(self.recipe.schedule, state.step, self.steps_per_epoch, self.recipe.epochs)
        learning_rate = self.recipe.optimizer.learning_rate * factor
        with self._failure_explained(progress):
            result = training_step(state, batch, learning_rate)
        self._read_result(progress)  # that of the step before: the device has this one to go on with
        self.unread = (result, learning_rate, images)
        if not state.late:
            self._read_result(progress)

    def _read_result(self, progress: TrainingProgress) -> None:
        """Wait for the last step's result, if nobody has yet; show and log it."""
        if self.unread is None:
            return
        (result, learning_rate, images), self.unread = self.unread, None
        with self._failure_explained(progress):
            result.check()
        if self.recorder is not None and result.visits is not None:
            self.recorder.add(result.visits)
        progress.advance(result.step, images, result.loss)
        self.not_logged = (result, learning_rate)
        if result.step % self.recipe.logging.every_steps == 0 or result.step == self.last_step:
            self._log(result, learning_rate, progress)
            self.not_logged = None

    @contextmanager
    def _failure_explained(self, progress: TrainingProgress) -> Iterator[None]:
        """A NonFiniteLossError within also says which checkpoint to go back to."""
        try:
            yield
        except NonFiniteLossError as error:
            if self.not_logged is not None:  # the last step that was taken, which the log ends with
                self._log(*self.not_logged, progress)
            raise NonFiniteLossError(f"{error}. {self._last_checkpoint()}") from error

    def _log(self, result: StepResult, learning_rate: float, progress: TrainingProgress) -> None:
        row = {
            "step": result.step,
            "epoch": result.step / self.steps_per_epoch,
            "loss": result.loss,
            **(result.parts if len(result.parts) > 1 or self.recipe.memory.name == "broadface" else {}),
            "learning_rate": learning_rate,
            "gradient_norm": result.gradient_norm,
            **result.sample_means,
            "images_per_second": round(progress.images_per_second, 1),
        }
        if self.metrics is not None:
            self.metrics.write(row)
        if self.tensorboard is not None:
            self.tensorboard.write(row)

    def _validate(self) -> None:
        epoch = self.state.step // self.steps_per_epoch
        for summary in validate(model_so_far(self.state), self.sets):
            row = validation_row(self.state.step, epoch, summary)
            assert self.validation is not None  # the main process validates
            self.validation.write(row)
            figures = "  ".join(f"{k} {v:.4f}" for k, v in row.items() if isinstance(v, float))
            self.console.print(f"epoch {epoch}  {summary.dataset}  {figures}", highlight=False, markup=False)

    def _is_checkpoint_step(self) -> bool:
        every = self.recipe.checkpoint.every_steps or self.steps_per_epoch
        return self.state.step % every == 0 or self.state.step == self.last_step

    def _checkpoint(self) -> None:
        state, keep = self.state, self.recipe.checkpoint.keep
        if self.recorder is not None:
            self.recorder.end_file(state.step)
        save_checkpoint(
            self.folder.checkpoints, state.step, state.state_dict(), keep, self.processes, state.head.class_range
        )
        if self.recorder is not None:
            self.recorder.check(state.step)

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
                f"[red]warning:[/] corrupt images, which were left out: {self.corrupt.num_images:,}; "
                f"{self.corrupt.num_skips} times in all; the log above names them",
                highlight=False,
            )
        rate = f" at {progress.images_per_second:,.0f} images/s" if self.state.step > first else ""
        text = f"trained {counted(self.state.step, 'step')}{rate}; model in {self.folder.model}"
        self.console.print(text, highlight=False, markup=False)
