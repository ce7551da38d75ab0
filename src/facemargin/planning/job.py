"""The training to plan: model, data and number of GPUs, and the properties of margin and optimizer that affect its
cost."""

from dataclasses import dataclass
from typing import Literal

import torch

from facemargin.errors import ConfigError
from facemargin.heads import BroadFaceConfig
from facemargin.heads.rounded_products import Backward
from facemargin.margins import create_margin

HeadKind = Literal["dense", "class-parallel", "sampled"]
Optimizer = Literal["sgd", "adamw"]
HeadMemory = Literal["none", "broadface", "vpl"]

OPTIMIZER_STATES = {"sgd": 1, "adamw": 2}
"""How many values per parameter the optimizer keeps: the momentum, or the first and the second moment."""

ADAMW_STEP_BYTES = 4
"""AdamW stores a step counter, a float32, for every tensor."""

_SMALLEST = {"batch": 2} | dict.fromkeys(
    ("classes", "embedding_size", "gpus", "gpus_per_node", "sub_centers", "queue_size"), 1
)


@dataclass(frozen=True, kw_only=True)
class Job:
    """classes: C. embedding_size: D. batch: b, images per GPU and step. gpus: P, so that the global batch is P·b.
    sub_centers: K, the centres of a class. margin, backbone: names. sample_rate: the share of its classes that a GPU
    uses in a step if classes are sampled. recorder: whether the run is recorded, for which the head also finds the
    class of the hardest negative. backward: the type of the factors of the head's backward products. head_memory: what
    the head remembers of earlier batches. queue_size: Q, the samples of BroadFace's queue.
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
    recorder: bool = False
    sub_centers: int = 1
    backward: Backward = "float32"
    head_memory: HeadMemory = "none"
    queue_size: int = BroadFaceConfig.queue_size

    def __post_init__(self) -> None:
        for name, smallest in _SMALLEST.items():
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least {smallest}")
        if self.head_memory != "none" and self.sub_centers > 1:
            raise ConfigError(
                f"head_memory is {self.head_memory} with {self.sub_centers} sub_centers: a memory is made for one "
                "centre a class. Set sub_centers to 1 or head_memory to none"
            )
        if not 0 < self.sample_rate < 1:
            raise ConfigError(
                f"sample_rate is {self.sample_rate}, expected a number between 0 and 1. To use all classes, take "
                "the class-parallel head"
            )

    @property
    def global_batch(self) -> int:
        return self.gpus * self.batch


@dataclass(frozen=True)
class MarginFacts:
    """uses_target_cosines: the target cosines are exchanged before the product with all centres. reweights_negatives:
    the cosines of hard negatives are replaced. learned_scale: every sample has its own scale, with gradient.
    needs_centers: the loss has a term that reads the samples' own centres. binary: every class is a decision of its
    own, which triton has no kernels for. adjusts_cosines: its cosines go through a power first. learned_offset:
    it has a bias that is learnt."""

    uses_target_cosines: bool
    reweights_negatives: bool
    learned_scale: bool
    needs_centers: bool
    binary: bool = False
    adjusts_cosines: bool = False
    learned_offset: bool = False


def margin_facts(name: str) -> MarginFacts:
    """The properties of the margin registered as `name` with its default settings. Raises ConfigError for an unknown
    name."""
    margin = create_margin(name)
    one_B = torch.ones(1, requires_grad=True)
    negatives = margin.binary_negatives(one_B) if margin.binary else None
    return MarginFacts(
        uses_target_cosines=margin.uses_target_cosines,
        reweights_negatives=margin.negatives(one_B.detach()) is not None,
        learned_scale=margin.scale(one_B).requires_grad,
        needs_centers=margin.needs_centers,
        binary=margin.binary,
        adjusts_cosines=negatives is not None and negatives.exponent != 1,
        learned_offset=negatives is not None and negatives.offset_B.requires_grad,
    )
