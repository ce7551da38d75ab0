"""A running average of a network's weights, which often recognises better than the last step's."""

from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Average ← decay·average + (1−decay)·weights after every step; buffers (batch-norm statistics) likewise.

    The decay rises as (1+n)/(10+n) over the first n updates, so that early weights are forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Advance by the network's present weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                self.state[key].lerp_(value, 1 - decay)
            else:
                self.state[key].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The average and how often it was updated; tensors are not copied."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`, on the device and in the memory layout of the network; KeyError or RuntimeError if it
        is of another one."""
        for key, value in self.state.items():
            value.copy_(saved["state"][key])
        self.updates = saved["updates"]
