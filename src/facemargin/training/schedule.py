"""The learning rate as a function of the step alone, so that a resumed run needs no scheduler state."""

import math

from facemargin.training.config import ScheduleConfig


def learning_rate_factor(config: ScheduleConfig, step: int, steps_per_epoch: int, epochs: int) -> float:
    """What the recipe's learning rate is multiplied by at optimizer step `step` (from 0).

    Warm-up rises linearly and reaches 1 at its end. Milestones count from the start of the run, warm-up included, so
    that they mean the epochs the papers give; the polynomial and the cosine fall from the end of the warm-up on.
    """
    warmup_steps = config.warmup_epochs * steps_per_epoch
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if config.name == "step":
        return config.gamma ** sum(step >= round(milestone * steps_per_epoch) for milestone in config.milestones)
    total_steps = epochs * steps_per_epoch
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    if config.name == "polynomial":
        shape: float = (1 - progress) ** config.power
    else:
        shape = (1 + math.cos(math.pi * progress)) / 2
    return config.final + (1 - config.final) * shape
