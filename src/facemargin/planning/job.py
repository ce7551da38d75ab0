"""What is to be trained and on how many GPUs; the facts of its margin and its optimizer that cost something."""

from dataclasses import dataclass
from typing import Literal

import torch

from facemargin.errors import ConfigError
from facemargin.margins import create_margin

HeadKind = Literal["dense", "class-parallel", "sampled"]
Optimizer = Literal["sgd", "adamw"]

OPTIMIZER_STATES = {"sgd": 1, "adamw": 2}
"""Values of a parameter's size that the optimizer keeps: the momentum, or the first and the second moment."""

ADAMW_STEP_BYTES = 4
"""AdamW counts its steps in a float32 for every tensor."""

_SMALLEST = {"classes": 1, "embedding_size": 1, "gpus": 1, "gpus_per_node": 1, "batch": 2}


@dataclass(frozen=True, kw_only=True)
class Job:
    """classes: C. embedding_size: D. batch: b, images of a GPU and step. gpus: P, so that the global batch is P·b.

    margin, backbone: by name. sample_rate: the share of its classes that a GPU sees in a step, where they are sampled.
    """

    classes: int
    backbone: str = "ir_101"
    embedding_size: int = 512
    margin: str = "funface"
    batch: int = 256
    gpus: int = 8
    gpus_per_node: int = 8
    sample_rate: float = 0.1
    optimizer: Optimizer = "sgd"

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {smallest}")
        if not 0 < self.sample_rate < 1:
            raise ConfigError(
                f"sample_rate is {self.sample_rate}, expected a number between 0 and 1; the class-parallel head is the "
                "one that samples none"
            )

    @property
    def global_batch(self) -> int:
        return self.gpus * self.batch


@dataclass(frozen=True)
class MarginFacts:
    """uses_target_cosines: the target cosines are exchanged before the product with all centres. reweights_negatives:
    hard negatives' cosines are replaced. learned_scale: the scale is one a sample, with gradient. needs_centers: the
    loss has a term of the samples' own centres."""

    uses_target_cosines: bool
    reweights_negatives: bool
    learned_scale: bool
    needs_centers: bool


def margin_facts(name: str) -> MarginFacts:
    """The facts of the margin registered as `name`, with its default settings; ConfigError if there is none."""
    margin = create_margin(name)
    one_B = torch.ones(1, requires_grad=True)
    return MarginFacts(
        uses_target_cosines=margin.uses_target_cosines,
        reweights_negatives=margin.negatives(one_B.detach()) is not None,
        learned_scale=margin.scale(one_B).requires_grad,
        needs_centers=margin.needs_centers,
    )
