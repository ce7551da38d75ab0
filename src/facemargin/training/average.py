"""A running average of a network's weights, which often recognises better than the last step's."""

from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """Average ← decay·average + (1−decay)·weights of `network` after every step; buffers (batch-norm statistics)
    likewise.

    The decay rises as (1+n)/(10+n) over the first n updates, so that early weights are forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.state = {key: value.detach().clone() for key, value in network.state_dict().items()}
        # A GPU takes all tensors of a list at once; one by one, starting the kernels takes longer than they do.
        weights = network.state_dict(keep_vars=True)
        averaged = [key for key, value in weights.items() if value.is_floating_point()]
        counts = [key for key in weights if key not in set(averaged)]
        self._averaged, self._counts = (
            ([self.state[key] for key in keys], [weights[key] for key in keys]) for keys in (averaged, counts)
        )

    @torch.no_grad()
    def update(self, taken: Tensor | bool = True) -> None:
        """Advance by the network's present weights, unless the step was not `taken`. A scalar on a GPU decides there,
        without a wait."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, weights = self._averaged
        if isinstance(taken, Tensor) and taken.device.type != "cpu":
            _lerp_if(taken, averages, weights, 1 - decay)
        elif not taken:
            return
        elif averages:
            torch._foreach_lerp_(averages, weights, 1 - decay)
        copies, counts = self._counts
        if copies:
            torch._foreach_copy_(copies, counts)

    def state_dict(self) -> dict[str, Any]:
        """The average and how often it was updated; tensors are not copied."""
        return {"updates": self.updates, "state": self.state}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`, on the device and in the memory layout of the network; KeyError or RuntimeError if it
        is of another one."""
        for key, value in self.state.items():
            value.copy_(saved["state"][key])
        self.updates = saved["updates"]


def _lerp_if(taken: Tensor, averages: list[Tensor], weights: list[Tensor], share: float) -> None:
    """Move every average by `share` of its distance to the weight if `taken`, which nobody waits for. Weights must be
    finite even if not; where they are not, the run is over."""
    if averages:
        steps = torch._foreach_sub(weights, averages)
        torch._foreach_mul_(steps, share * taken)
        torch._foreach_add_(averages, steps)
