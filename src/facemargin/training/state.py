"""Everything that training changes: what a checkpoint holds and a resumed run continues from."""

from typing import Any

import torch
from torch import nn

from facemargin.errors import CheckpointError
from facemargin.heads import Head
from facemargin.inference.recogniser import Recogniser, create_recogniser
from facemargin.training.average import WeightAverage
from facemargin.training.config import Recipe
from facemargin.training.optimizer import create_optimizer
from facemargin.training.precision import autocast_type
from facemargin.training.recipe import build_head, model_info

_PARTS = ("recogniser", "head", "optimizer", "scaler", "average")


class TrainingState:
    """Recogniser, head, optimizer, gradient scaler and weight average, and the number of steps done.

    Initial weights depend on the recipe's seed alone. There is no head where the reconstruction is trained alone.
    """

    def __init__(self, recipe: Recipe, num_classes: int, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.step = 0
        torch.manual_seed(recipe.seed)
        self.recogniser: Recogniser = create_recogniser(model_info(recipe)).to(device)
        if recipe.channels_last:
            self.recogniser = self.recogniser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: Head | None = None
        if self.recogniser.backbone is not None:
            head = build_head(recipe.head, num_classes, recipe.backbone.embedding_size, seed=recipe.seed)
            self.head = head.to(device)
        self.optimizer = create_optimizer(recipe.optimizer, self.modules())
        self.autocast_type = autocast_type(recipe.precision, device)
        # bf16 has float32's exponents; only fp16 gradients underflow.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.autocast_type == torch.float16)
        self.average = WeightAverage(self.recogniser, recipe.ema_decay) if recipe.ema_decay else None
        if recipe.compile:
            for network in self.recogniser.children():
                network.compile()

    def modules(self) -> list[nn.Module]:
        """What has parameters to train."""
        return [module for module in (self.recogniser, self.head) if module is not None]

    def autocast(self) -> torch.autocast:
        """The context that the networks compute in."""
        return torch.autocast(self.device.type, dtype=self.autocast_type, enabled=self.autocast_type is not None)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors, numbers and containers of them, `step` among them."""
        parts = {name: getattr(self, name) for name in _PARTS}
        return {"step": self.step} | {name: part.state_dict() for name, part in parts.items() if part is not None}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`; CheckpointError if it belongs to another network, head or recipe."""
        try:
            for name in _PARTS:
                part = getattr(self, name)
                if part is not None:
                    part.load_state_dict(saved[name])
            self.step = saved["step"]
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint does not fit the recipe: {error}") from error

    def recogniser_state(self) -> dict[str, torch.Tensor]:
        """The weights to evaluate and publish: the average where there is one."""
        return self.average.state if self.average is not None else self.recogniser.state_dict()
