"""The optimizer of a recipe, and which parameters weight decay spares."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from facemargin.training.config import OptimizerConfig

# _NormBase is what batch and instance norms of all dimensions are made from.
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def create_optimizer(config: OptimizerConfig, modules: Iterable[nn.Module]) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over all parameters of `modules`, of which `config.no_decay` names those without
    weight decay: decay pulls a norm's scale towards zero without regularising anything.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for module in modules:
        of_norms = {id(weight) for part in module.modules() if isinstance(part, _NORMS) for weight in part.parameters()}
        for parameter in module.parameters():
            if parameter.requires_grad:
                is_spared = {
                    "norms": id(parameter) in of_norms,
                    "one_dimensional": parameter.ndim <= 1,
                    "nothing": False,
                }[config.no_decay]
                (spared if is_spared else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    # On CUDA the other forms copy every gradient once for the weight decay, the centres' too.
    fused = any(parameter.is_cuda for parameter in decayed)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)


def step_if(taken: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """Take a step of the optimizer if `taken`, a boolean scalar. A fused optimizer decides it on its device; for
    another the host does, and waits."""
    if not all(group.get("fused") for group in optimizer.param_groups):
        if taken:
            optimizer.step()
        return
    _start_momentum(optimizer)
    # torch's name for "leave everything as it is", which is 1 or 0
    optimizer.found_inf = taken.logical_not().float()  # type: ignore[attr-defined]
    optimizer.step()


def _start_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every weight its momentum, 0. SGD would make it in the first step from memory as it finds it, and leave it
    so if that step is not taken."""
    for group in optimizer.param_groups:
        for parameter in group["params"] if group.get("momentum") else []:
            state = optimizer.state[parameter]
            if state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(parameter, requires_grad=False)
