"""Everything that training changes: what a checkpoint holds and a resumed run continues from."""

from typing import Any

import torch

from facemargin.backbones import Backbone
from facemargin.errors import CheckpointError
from facemargin.heads import Head
from facemargin.training.average import WeightAverage
from facemargin.training.config import Recipe
from facemargin.training.optimizer import create_optimizer
from facemargin.training.precision import autocast_type
from facemargin.training.recipe import build_backbone, build_head

_PARTS = ("backbone", "head", "optimizer", "scaler", "average")


class TrainingState:
    """Backbone, head, optimizer, gradient scaler and weight average, and the number of steps done.

    Initial weights depend on the recipe's seed alone.
    """

    def __init__(self, recipe: Recipe, num_classes: int, device: torch.device) -> None:
        self.recipe = recipe
        self.device = device
        self.step = 0
        torch.manual_seed(recipe.seed)
        self.backbone: Backbone = build_backbone(recipe.backbone).to(device)
        if recipe.channels_last:
            self.backbone = self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head: Head = build_head(recipe.head, num_classes, recipe.backbone.embedding_size).to(device)
        self.optimizer = create_optimizer(recipe.optimizer, {"backbone": self.backbone, "head": self.head})
        self.autocast_type = autocast_type(recipe.precision, device)
        # bf16 has float32's exponents; only fp16 gradients underflow.
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.autocast_type == torch.float16)
        self.average = WeightAverage(self.backbone, recipe.ema_decay) if recipe.ema_decay else None
        #: the backbone, compiled where the recipe says so; shares its parameters
        self.forward_backbone = torch.compile(self.backbone) if recipe.compile else self.backbone

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
        return self.average.state if self.average is not None else self.backbone.state_dict()
