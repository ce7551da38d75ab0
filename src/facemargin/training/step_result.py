"""What a step found out: numbers that are still on their way from the device when the step returns."""

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from facemargin.errors import NonFiniteLossError
from facemargin.training.config import Recipe
from facemargin.training.gradients import SMALLEST_LOSS_SCALE
from facemargin.training.visits import Visits


class StepResult:
    """Means over the batch of all processes: `loss`, its named `parts` (the head's, "quality" where a layer learns to
    predict it, and what a face reconstruction adds), the gradient's norm before clipping, and the head's per-sample
    numbers, none without a head. `step` counts from 1.

    Whoever reads one of them, or calls `check`, waits until the device has taken the step. All raise NonFiniteLossError
    if the loss or the gradient was not finite; the weights are then those of the step before.
    """

    def __init__(
        self,
        recipe: Recipe,
        step: int,
        origins: Mapping[str, str],
        numbers: Mapping[str, Tensor],
        late: bool,
        visits: Visits | None = None,
    ) -> None:
        """`origins`: of each part, the section of the recipe that it comes from. `numbers`: scalars on one device, by
        the names below. If they are `late`, nothing waits for them here. `visits`: what is to be recorded."""
        self.step, self.visits = step, visits
        self._recipe, self._origins, self._names = recipe, origins, list(numbers)
        values = torch.stack([value.detach().double() for value in numbers.values()])
        on_cuda = values.device.type == "cuda"
        self._values = torch.empty(values.shape, dtype=values.dtype, device="cpu", pin_memory=on_cuda)
        self._values.copy_(values, non_blocking=late)
        self._arrived = torch.cuda.current_stream(values.device).record_event() if on_cuda else None

    def __repr__(self) -> str:
        return f"StepResult(step={self.step}, {self._numbers})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StepResult):
            return NotImplemented
        return (self.step, self._numbers) == (other.step, other._numbers)

    def check(self) -> None:
        """Raise NonFiniteLossError if the step was not taken and the run has to end."""
        if self._problem is not None:
            raise NonFiniteLossError(f"step {self.step}: {self._problem}")

    @property
    def loss(self) -> float:
        """The mean loss, the sum of its parts."""
        return sum(self.parts.values())

    @property
    def parts(self) -> dict[str, float]:
        """The parts of the loss by name."""
        self.check()
        return self._of_kind(PART)

    @property
    def gradient_norm(self) -> float:
        """The norm of the whole model's gradient before clipping. With fp16 it may be infinite: no weight moved."""
        self.check()
        return self._numbers[GRADIENT_NORM]

    @property
    def sample_means(self) -> dict[str, float]:
        """The means of the head's per-sample numbers by name, NaN where no sample has one."""
        self.check()
        totals, counts = self._of_kind(TOTAL), self._of_kind(COUNT)
        return {name: total / counts[name] if counts[name] else math.nan for name, total in totals.items()}

    @cached_property
    def _numbers(self) -> dict[str, float]:
        if self._arrived is not None:
            self._arrived.synchronize()
        return dict(zip(self._names, self._values.tolist(), strict=True))

    def _of_kind(self, kind: str) -> dict[str, float]:
        return {name[len(kind) :]: value for name, value in self._numbers.items() if name.startswith(kind)}

    @cached_property
    def _problem(self) -> str | None:
        """What is wrong, and the recipe's field to look at first."""
        numbers, parts = self._numbers, self._of_kind(PART)
        if not numbers.get(SOUND, True):
            return "it was not taken, because the loss or the gradient of a step before it was not finite"
        loss = sum(parts.values())
        if not math.isfinite(loss):
            return self._problem_of_loss(
                loss, {self._origins[name] for name in parts if not math.isfinite(parts[name])}
            )
        if LOSS_SCALE in numbers:
            if numbers[LOSS_SCALE] < SMALLEST_LOSS_SCALE:
                return self._advice("fp16 gradients overflow at every loss scale", "precision")
        elif not math.isfinite(numbers[GRADIENT_NORM]):
            return self._advice(f"the gradient's norm is {numbers[GRADIENT_NORM]}", "optimizer.learning_rate")
        return None

    def _problem_of_loss(self, loss: float, origins: set[str]) -> str:
        general = "precision" if LOSS_SCALE in self._numbers else "optimizer.learning_rate"
        if self._numbers.get(BAD_FEATURES):
            return self._advice(f"the loss is {loss}: the backbone's features are not finite", general)
        if "head" in origins:
            name = "head.scale" if hasattr(self._recipe.head, "scale") else "head.name"
            return self._advice(f"the loss is {loss}", name)
        if "quality" in origins:
            return self._advice(f"the loss is {loss}, through the predicted quality", "quality.weight")
        return self._advice(f"the loss is {loss}, through the face reconstruction", general)

    def _advice(self, what: str, name: str) -> str:
        value: Any = self._recipe
        for part in name.split("."):
            value = getattr(value, part)
        return f"{what}. The recipe field to look at first is {name} (now {value})"


#: What the names of these begin with: a part of the loss, the sum of a per-sample number, how many samples have it.
PART, TOTAL, COUNT = "part ", "total ", "count "
#: The other names: how many feature norms are not finite; fp16's scale after the step; whether all steps before were
#: taken.
GRADIENT_NORM, BAD_FEATURES, LOSS_SCALE, SOUND = "gradient norm", "bad features", "loss scale", "sound"
