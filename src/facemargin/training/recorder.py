"""The flight recorder of a training: what the head finds of every image at every step goes to the run's folder.

Files end at checkpoints, and a checkpoint is written after the files up to it: a run that goes on from a checkpoint
finds all rows before it and, once later ones are dropped, none of the steps that it takes again.
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from facemargin.data.source import LabeledImages
from facemargin.errors import OutputError
from facemargin.heads import Head
from facemargin.margins.base import ConstantScaleMargin, reweights_negatives
from facemargin.recording.columns import BINARY
from facemargin.recording.writer import RecordingWriter, write_samples
from facemargin.training.state import TrainingState
from facemargin.training.visits import Visits


class Recorder:
    """Records the visits of this process in `folder`, from the state's step on. Raises OutputError, in every process,
    if the folder cannot be written to.

    On leaving its context after an error, a single process keeps what it has recorded since the last checkpoint, to be
    looked at; a run that goes on drops it.
    """

    def __init__(self, folder: Path, state: TrainingState, images: LabeledImages) -> None:
        assert isinstance(state.head, Head)
        self._processes, self._step = state.processes, state.step
        precision: Literal["float16", "float32"] = "float32" if state.recipe.recorder == "float32" else "float16"
        about = _about(state, state.head, len(images))
        self._writer = self._processes.together(
            lambda: RecordingWriter(folder, state.step, precision, about, self._processes.rank)
        )
        self._processes.on_main(lambda: write_samples(folder, images.labels, images.identity_names))

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._writer.finish(self._step, keep=error is not None and self._processes.group is None)

    @property
    def failed(self) -> bool:
        """Whether something could not be written: the run is to end with a checkpoint, which `check` then explains."""
        return self._writer.problem is not None

    def add(self, visits: Visits) -> None:
        """Record the visits of a step; waits until the device has them."""
        self._step = visits.step
        self._writer.add(visits.step, visits.columns())

    def end_file(self, step: int) -> None:
        """Before the checkpoint of `step` is written: all rows so far are in files, or, if one process cannot write,
        those since the last checkpoint in none of any process. All processes call it."""
        problem = self._writer.close_file(step)
        if self._processes.sum([problem is not None])[0]:
            self._writer.discard(step)

    def check(self, step: int) -> None:
        """After the checkpoint of `step` is written: raise OutputError, in every process, if one could not record."""

        def explain() -> None:
            if self._writer.problem is not None:
                raise OutputError(
                    f"{self._writer.problem}. Nothing of the training is lost: its checkpoint of step {step} is "
                    "written, and facemargin train with --resume goes on from there (with --recorder False without a "
                    f"recorder). The steps from {self._writer.first_step} to {step} are not recorded"
                )

        self._processes.together(explain)


def _about(state: TrainingState, head: Head, num_samples: int) -> dict[str, Any]:
    """What the files say of the training that they are of."""
    margin, options = head.margin, head.options
    negatives = "re-weighted by the margin" if reweights_negatives(margin) else "as they are"
    sampled = options.sample_rate < 1 and not options.exact_hardest_negative
    return {
        "margin": state.recipe.head.name,
        "scale": margin.config.scale if isinstance(margin, ConstantScaleMargin) else "feature_norm",
        "negatives": BINARY if margin.binary else negatives,
        "lse_among": "sampled classes" if options.sample_rate < 1 else "all classes",
        "hardest_among": "sampled classes" if sampled else "all classes",
        "num_classes": head.num_classes,
        "sub_centers": options.sub_centers,
        "num_samples": num_samples,
        "processes": state.processes.size,
        "passes": state.recipe.accumulation_steps,
    }
