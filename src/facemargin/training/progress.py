"""The progress of training: a bar with rate and ETA in a terminal, a line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_SECONDS_BETWEEN_LINES = 15.0
_COMPILING = "compiling the networks: the first steps are slow"


class TrainingProgress:
    """Counts images from the moment it is made; `images_per_second` is the mean over that time, without that of the
    first step if `compiling`, in which the networks are compiled."""

    def __init__(
        self, console: Console, first_step: int, last_step: int, steps_per_epoch: int, compiling: bool = False
    ) -> None:
        self.console = console
        self.first_step, self.last_step, self.steps_per_epoch = first_step, last_step, steps_per_epoch
        self.bar: Progress | None = None
        self._task = TaskID(0)
        self._images = 0
        self._started = self._last_line = time.monotonic()
        self._compiling = compiling
        self._warm_up = 0, self._started  # its images, and when it ended
        if compiling and not console.is_terminal:
            console.print(_COMPILING, highlight=False)

    @property
    def images_per_second(self) -> float:
        images, since = self._warm_up if self._images > self._warm_up[0] else (0, self._started)
        return (self._images - images) / max(time.monotonic() - since, 1e-9)

    def advance(self, step: int, images: int, loss: float) -> None:
        """Show that `step` steps are done, the last one on `images` images."""
        self._images += images
        if self._compiling:
            self._compiling, self._last_line = False, time.monotonic()  # its time says nothing about the others
            self._warm_up = self._images, self._last_line
        epoch = (step - 1) // self.steps_per_epoch + 1
        text = f"epoch {epoch}/{self.last_step // self.steps_per_epoch}  loss {loss:.3f}  {self._rate()}"
        if self.bar is not None:
            self.bar.update(self._task, completed=step, description=text)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            images_left = self._images / (step - self.first_step) * (self.last_step - step)
            left = images_left / self.images_per_second
            self.console.print(f"step {step}/{self.last_step}  {text}  {left:.0f} s left", highlight=False)

    def _rate(self) -> str:
        return f"{self.images_per_second:,.0f} images/s"

    def start_bar(self, bar: Progress) -> None:
        """Draw in `bar` from now on."""
        text = _COMPILING if self._compiling else "training"
        self._task = bar.add_task(text, total=self.last_step, completed=self.first_step)
        self.bar = bar


@contextmanager
def training_progress(
    console: Console, first_step: int, last_step: int, steps_per_epoch: int, compiling: bool = False
) -> Iterator[TrainingProgress]:
    """A TrainingProgress for steps `first_step` to `last_step`, with a live bar where the console is a terminal."""
    progress = TrainingProgress(console, first_step, last_step, steps_per_epoch, compiling)
    if not console.is_terminal:
        yield progress
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("ETA"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        progress.start_bar(bar)
        yield progress
