"""Everything that training changes: what a checkpoint holds and a resumed run continues from.

Shapes: C classes of this process, D embedding size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from facemargin.counting import counted
from facemargin.errors import CheckpointError
from facemargin.heads import Head
from facemargin.models.recognizer import Recognizer, create_recognizer
from facemargin.training.average import WeightAverage
from facemargin.training.config import Recipe
from facemargin.training.loss_scale import LossScale
from facemargin.training.optimizer import create_optimizer
from facemargin.training.precision import autocast_type
from facemargin.training.processes import Processes
from facemargin.training.recipe import build_head, model_info

_PARTS = {
    "recogniser": "recognizer",
    "head": "head",
    "optimizer": "optimizer",
    "scaler": "scaler",
    "average": "average",
}
"""Names in checkpoints -> attributes."""


class TrainingState:
    """Recogniser, head, optimizer, loss scale and weight average, and the number of steps done.

    Initial weights depend on the recipe's seed alone. There is no head where the reconstruction is trained alone. With
    several processes the head holds this one's classes, and `replica` is what the networks are called through, so that
    their gradients are summed; all the rest is the same everywhere.
    """

    def __init__(self, recipe: Recipe, num_classes: int, processes: Processes | torch.device) -> None:
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
        self.head: Head | None = None
        if self.recognizer.backbone is not None:
            self.head = build_head(recipe, num_classes, self.processes.group).to(self.device)
        if recipe.precision == "float64":
            for module in self.modules():
                module.double()
        self.optimizer = create_optimizer(recipe.optimizer, self.modules())
        self.autocast_type = autocast_type(recipe.precision, self.device)
        # bf16 has float32's exponents; only fp16 gradients underflow.
        self.scaler = LossScale(enabled=self.autocast_type == torch.float16)
        self.average = WeightAverage(self.recognizer, recipe.ema_decay) if recipe.ema_decay else None
        if recipe.compile:
            for network in self.recognizer.children():
                network.compile()
        trained = self.recognizer if self.recognizer.backbone is not None else self.recognizer.reconstructor
        assert trained is not None
        self.replica = self.processes.replicate(trained)

    def modules(self) -> list[nn.Module]:
        """What has parameters to train."""
        return [module for module in (self.recognizer, self.head) if module is not None]

    @property
    def num_classes(self) -> int:
        """How many classes all processes have together."""
        return 0 if self.head is None else self.head.num_classes

    @property
    def class_range(self) -> tuple[int, int]:
        """[first, last) of the classes whose centres this process holds."""
        return (0, 0) if self.head is None else self.head.class_range

    def autocast(self) -> torch.autocast:
        """The context that the networks compute in."""
        return torch.autocast(self.device.type, dtype=self.autocast_type, enabled=self.autocast_type is not None)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and containers of them, `step` among them. "rows" holds what there is a row of for
        every class of this process, centres and their momentum, (C, D) each; all the rest is the same on all."""
        parts = {name: getattr(self, attribute) for name, attribute in _PARTS.items()}
        state: dict[str, Any] = {"step": self.step, "num_classes": self.num_classes}
        state |= {name: part.state_dict() for name, part in parts.items() if part is not None}
        if self.training_set is not None:
            state["training_set"] = self.training_set
        state["rows"] = {}
        if self.head is not None:
            state["head"] = dict(state["head"])
            state["rows"]["weight"] = state["head"].pop("weight")
            if self.head.samples_classes:
                state["rows"] |= {f"rows.{k}": v for k, v in self.head.row_optimizer.state_dict().items()}
            else:
                state["optimizer"], moments = _split_moments(state["optimizer"], self._centers_index())
                state["rows"] |= moments
        return state

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`; CheckpointError if it belongs to another network, head or recipe."""
        try:
            if saved["num_classes"] != self.num_classes:
                raise ValueError(
                    f"it is of {counted(saved['num_classes'], 'class', 'classes')}, the training set has "
                    f"{self.num_classes}"
                )
            rows = saved["rows"]
            optimizer = saved["optimizer"]
            if self.head is not None:
                self.head.load_state_dict({**saved["head"], "weight": rows["weight"]})
                if self.head.samples_classes:
                    own = {key.removeprefix("rows."): value for key, value in rows.items() if key.startswith("rows.")}
                    self.head.row_optimizer.load_state_dict(own, self.head.weight.data)
                else:
                    optimizer = _join_moments(optimizer, self._centers_index(), rows)
            self.recognizer.load_state_dict(saved["recogniser"])
            self.optimizer.load_state_dict(optimizer)
            self.scaler.load_state_dict(saved["scaler"])
            if self.average is not None:
                self.average.load_state_dict(saved["average"])
            self.step = saved["step"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit the recipe: {error}") from error

    def recognizer_state(self) -> dict[str, Tensor]:
        """The weights to evaluate and publish: the average where there is one."""
        return self.average.state if self.average is not None else self.recognizer.state_dict()

    def _centers_index(self) -> int:
        """The centres' number among the optimizer's parameters."""
        assert self.head is not None
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        return next(index for index, parameter in enumerate(parameters) if parameter is self.head.weight)


def _split_moments(optimizer: dict[str, Any], index: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state without the moments, (C, D), of parameter `index`, and those by the names rows have."""
    own = optimizer["state"].get(index, {})
    moments = {key: value for key, value in own.items() if isinstance(value, Tensor) and value.ndim == 2}
    rest = {key: value for key, value in own.items() if key not in moments}
    state = {**optimizer["state"], index: rest} if own else optimizer["state"]
    return {**optimizer, "state": state}, {f"optimizer.{key}": value for key, value in moments.items()}


def _join_moments(optimizer: dict[str, Any], index: int, rows: dict[str, Tensor]) -> dict[str, Any]:
    moments = {key.removeprefix("optimizer."): value for key, value in rows.items() if key.startswith("optimizer.")}
    if not moments:
        return optimizer
    state = {**optimizer["state"], index: {**optimizer["state"].get(index, {}), **moments}}
    return {**optimizer, "state": state}
