"""The tensors that the processes exchange in a step.

`bytes` is the size of the whole tensor: the input of an all-reduce, the result of an all-gather, the input of a
reduce-scatter. In a ring of P processes, each process sends (and receives)

    all-reduce 2·(P − 1)/P · bytes      all-gather, reduce-scatter (P − 1)/P · bytes

A step has one pass (no gradient accumulation). Exchanges of a few numbers are left out: the gradient's norm, the means
for the log, and which parameters a pass used. Shapes: B samples of the global batch, P processes, C classes, D feature
values.
"""

from dataclasses import dataclass
from typing import Literal

from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.job import HeadKind, Job, MarginFacts

Operation = Literal["all-reduce", "all-gather", "reduce-scatter"]

_FLOAT, _DOUBLE, _INT = 4, 8, 8


@dataclass(frozen=True)
class Collective:
    """One exchange: `what` is exchanged, by which operation, the `bytes` of the whole tensor, and for which part,
    "head" or "backbone"."""

    what: str
    operation: Operation
    bytes: int
    part: Literal["head", "backbone"] = "head"

    def sent(self, processes: int) -> float:
        """The bytes that each process sends."""
        factor = 2 if self.operation == "all-reduce" else 1
        return factor * (processes - 1) / processes * self.bytes


def backbone_collectives(job: Job, backbone: BackboneCost) -> list[Collective]:
    """The exchanges of the replicated backbone; none on one GPU."""
    if job.gpus == 1:
        return []
    return [
        Collective("backbone gradient", "all-reduce", backbone.trained * _FLOAT, "backbone"),
        Collective("batch-norm statistics", "all-reduce", backbone.buffers * _DOUBLE, "backbone"),
    ]


def head_collectives(job: Job, kind: HeadKind, margin: MarginFacts) -> list[Collective]:
    """The exchanges of the head, in the order of the step; none on one GPU."""
    if job.gpus == 1:
        return []
    if kind == "dense":
        return [
            Collective("centre gradient", "all-reduce", job.classes * job.sub_centers * job.embedding_size * _FLOAT)
        ]
    batch_bytes = job.global_batch * _FLOAT
    features_bytes = batch_bytes * job.embedding_size
    exchanges = []
    # The classes are sampled before the first of a step's passes, from the labels of all of them.
    for of_what in ("of the step", "of the pass") if kind == "sampled" else ("of the pass",):
        exchanges += [
            Collective(f"batch sizes {of_what}", "all-gather", job.gpus * _INT),
            Collective(f"labels {of_what}", "all-gather", job.global_batch * _INT),
        ]
    exchanges += [
        Collective("features", "all-gather", features_bytes),
        Collective("feature norms", "all-gather", batch_bytes),
    ]
    if margin.uses_target_cosines:
        exchanges.append(Collective("target cosines", "all-reduce", batch_bytes))
    terms = 4 if job.recorder else 3
    exchanges.append(Collective("softmax terms", "all-gather", terms * job.gpus * batch_bytes))
    if margin.needs_centers:
        exchanges.append(Collective("target centres", "all-reduce", features_bytes))
    if margin.learned_scale:
        exchanges.append(Collective("scale gradient", "all-reduce", batch_bytes))
    if margin.learned_offset:
        exchanges.append(Collective("bias gradient", "all-reduce", batch_bytes))
    exchanges.append(Collective("feature gradient", "reduce-scatter", features_bytes))
    return exchanges
