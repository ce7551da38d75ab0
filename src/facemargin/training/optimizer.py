"""The optimizer of a recipe, and which parameters weight decay spares."""

from collections.abc import Iterable

import torch
from torch import nn

from facemargin.training.config import OptimizerConfig


def create_optimizer(config: OptimizerConfig, modules: Iterable[nn.Module]) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW, over all parameters of `modules`.

    Parameters of one dimension (the weights of norms and PReLUs, biases) get no weight decay unless `decay_all`: decay
    pulls a norm's scale towards zero without regularising anything.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for module in modules:
        for parameter in module.parameters():
            if parameter.requires_grad:
                (decayed if parameter.ndim > 1 or config.decay_all else spared).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    # On CUDA the other forms copy every gradient once for the weight decay, the centres' too.
    fused = any(parameter.is_cuda for parameter in decayed)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum, fused=fused)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)
