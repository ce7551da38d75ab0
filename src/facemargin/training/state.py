"""Everything that training changes: what a checkpoint holds and a resumed run continues from."""

from typing import Any

import torch
from torch import Tensor, nn

from facemargin.counting import counted
from facemargin.data.sampler import process_slice
from facemargin.errors import CheckpointError
from facemargin.heads import Head
from facemargin.models.recognizer import Recognizer, create_recognizer
from facemargin.training.average import WeightAverage
from facemargin.training.class_rows import join_rows, split_rows
from facemargin.training.compilation import compile_network, compiles
from facemargin.training.config import Recipe
from facemargin.training.gradients import LossScale
from facemargin.training.no_head import NoHead
from facemargin.training.optimizer import create_optimizer
from facemargin.training.precision import autocast_type
from facemargin.training.processes import Processes
from facemargin.training.recipe import build_head, model_info


class TrainingState:
    """Recogniser, head, optimizer, loss scale and weight average, and the number of steps done.

    Initial weights depend on the recipe's seed alone; whether the networks are compiled, on the number of `images` that
    this process is going to train on, too. With several processes the head holds this one's classes, and
    `replica` is what the networks are called through, so that their gradients are summed; all the rest is the same in
    each of them. Where a face reconstruction is trained alone, the head does nothing, and `replica` reconstructs.
    """

    def __init__(self, recipe: Recipe, num_classes: int, processes: Processes | torch.device, images: int = 0) -> None:
        self.recipe = recipe
        self.processes = processes if isinstance(processes, Processes) else Processes(processes)
        self.device = self.processes.device
        self.step = 0
        #: what the run trains on, for its checkpoints; see data_fingerprint.py
        self.training_set: dict[str, Any] | None = None
        torch.manual_seed(recipe.seed)
        self.recognizer: Recognizer = create_recognizer(model_info(recipe)).to(self.device)
        if recipe.channels_last:
            self.recognizer = self.recognizer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: Head | NoHead
        trained: nn.Module
        if recipe.reconstruction.mode == "alone":
            self.head, trained = NoHead(), self.recognizer.get_submodule("reconstructor")
        else:
            self.head = build_head(recipe, num_classes, self.processes.group).to(self.device)
            trained = self.recognizer
        if recipe.precision == "float64":
            for module in self.modules():
                module.double()
        self.optimizer = create_optimizer(recipe.optimizer, self.modules())
        self.autocast_type = autocast_type(recipe.precision, self.device)
        # bf16 has float32's exponents; only fp16 gradients underflow.
        self.scaler = LossScale(enabled=self.autocast_type == torch.float16, device=self.device)
        #: whether a step's result is read after the next one is queued, so that the device never waits for the host
        self.late = self.device.type == "cuda"
        #: late results: whether all losses and gradients so far were finite, which the device knows first
        self.sound = torch.ones((), dtype=torch.bool, device=self.device)
        self.average = WeightAverage(self.recognizer, recipe.ema_decay) if recipe.ema_decay else None
        first, last = process_slice(
            recipe.batch_size // recipe.accumulation_steps, self.processes.rank, self.processes.size
        )
        #: the images of this process in a pass, where none is corrupt
        self.pass_size = last - first
        self.compiled = compiles(recipe, self.device, images)
        if self.compiled:
            for network in self.recognizer.children():
                compile_network(network, self.pass_size)
        self.replica = self.processes.replicate(trained)

    def modules(self) -> list[nn.Module]:
        """What has parameters to train."""
        return [self.recognizer, self.head]

    def autocast(self) -> torch.autocast:
        """The context that the networks compute in."""
        return torch.autocast(self.device.type, dtype=self.autocast_type, enabled=self.autocast_type is not None)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and containers of them, `step` among them. "rows" holds what there is a row of for
        every class of this process (see class_rows.py); all the rest is the same on all. What the training does not
        have is left out."""
        head, optimizer, rows = split_rows(self.head, self.optimizer)
        state = {
            "step": self.step,
            "num_classes": self.head.num_classes,
            "recogniser": self.recognizer.state_dict(),
            "head": head,
            "optimizer": optimizer,
            "scaler": self.scaler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "training_set": self.training_set,
            "rows": rows,
        }
        return {name: value for name, value in state.items() if value is not None}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`; CheckpointError if it belongs to another network, head or recipe."""
        try:
            if saved["num_classes"] != self.head.num_classes:
                raise ValueError(
                    f"it is of {counted(saved['num_classes'], 'class', 'classes')}, the training set has "
                    f"{self.head.num_classes}"
                )
            self.recognizer.load_state_dict(saved["recogniser"])
            join_rows(self.head, self.optimizer, saved)
            self.scaler.load_state_dict(saved["scaler"])
            if self.average is not None:
                self.average.load_state_dict(saved["average"])
            self.step = saved["step"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit the recipe: {error}") from error

    def recognizer_state(self) -> dict[str, Tensor]:
        """The weights to evaluate and publish: the average where there is one."""
        return self.average.state if self.average is not None else self.recognizer.state_dict()
