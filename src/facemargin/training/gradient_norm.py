"""One gradient norm for all processes, and clipping by it."""

import torch
from torch import Tensor

from facemargin.training.processes import Processes


@torch.no_grad()
def global_gradient_norm(networks: list[Tensor], centers: list[Tensor], processes: Processes) -> Tensor:
    """‖g‖ of the whole model, a float64 scalar: √(Σ g² of the networks, which all processes have alike, + Σ over the
    processes of Σ g² of their own class centres). The same everywhere, and not finite if any gradient is not."""
    own_norm, center_norm = (torch.nn.utils.get_total_norm(tensors).double() for tensors in (networks, centers))
    (center_squares,) = processes.sum([center_norm.square().item()])
    return (own_norm.square() + center_squares).sqrt()


@torch.no_grad()
def clip_(gradients: list[Tensor], largest_norm: float, norm: Tensor) -> None:
    """Scale the gradients so that their common norm is at most `largest_norm`; `norm` is what it is now."""
    if gradients:
        torch._foreach_mul_(gradients, (largest_norm / (norm + 1e-6)).clamp(max=1.0).item())
