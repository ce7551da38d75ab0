"""The time of a training step: backbone, head, optimizer, and the exchanges that do not overlap with computing.

They are added up, except for the backbone's gradient, which is exchanged in buckets while its backward pass runs.
Reading and augmenting images, launching kernels and the latency of the links are left out. Shapes: B samples, C centres
of a step, D feature values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.collectives import Collective
from facemargin.planning.head_buffers import Implementation
from facemargin.planning.head_memory import memory_operations
from facemargin.planning.head_operations import head_operations
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import OPTIMIZER_STATES, HeadKind, Job, MarginFacts
from facemargin.planning.machine import Machine, Operation

_FLOAT = 4

# How many times the row optimizer reads or writes data of the size of the sampled centres' gradient, without products.
_ROW_OPTIMIZER_PASSES = 21


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds. gradient_exchange: the exchanges that run during the backbone's backward pass; exposed_exchange: the
    part of them that takes longer than this pass."""

    backbone_forward: float
    backbone_backward: float
    head: float
    head_exchange: float
    optimizer: float
    gradient_exchange: float

    @property
    def exposed_exchange(self) -> float:
        return max(0.0, self.gradient_exchange - self.backbone_backward)

    @property
    def total(self) -> float:
        hidden_or_not = max(self.backbone_backward, self.gradient_exchange)
        return self.backbone_forward + hidden_or_not + self.head + self.head_exchange + self.optimizer


def step_time(
    job: Job,
    kind: HeadKind,
    shape: HeadShape,
    margin: MarginFacts,
    implementation: Implementation,
    backbone: BackboneCost,
    collectives: Sequence[Collective],
    machine: Machine,
    queue_implementation: Implementation | None = None,
) -> StepTime:
    """The time of a step of this head on this machine."""
    device = machine.hardware.device
    head = [
        *head_operations(shape, margin, implementation, device),
        *memory_operations(job, shape, margin, queue_implementation, device),
    ]
    # The gradient of a replicated head is ready first and is exchanged together with the backbone's.
    hidden = [collective for collective in collectives if collective.part == "backbone" or kind == "dense"]
    in_turn = [collective for collective in collectives if collective not in hidden]

    def exchange(some: Sequence[Collective]) -> float:
        return sum(collective.sent(job.gpus) for collective in some) / machine.link_rate(job.gpus, job.gpus_per_node)

    return StepTime(
        backbone_forward=machine.seconds(operation.at(job.batch) for operation in backbone.forward),
        backbone_backward=machine.seconds(operation.at(job.batch) for operation in backbone.backward),
        head=machine.seconds(head),
        head_exchange=exchange(in_turn),
        optimizer=machine.seconds(optimizer_operations(job, kind, shape, backbone)),
        gradient_exchange=exchange(hidden),
    )


def optimizer_operations(job: Job, kind: HeadKind, shape: HeadShape, backbone: BackboneCost) -> list[Operation]:
    """A fused optimizer reads weights, gradient and states once and writes weights and states once."""
    passes = 3 + 2 * OPTIMIZER_STATES[job.optimizer]
    center_passes = _ROW_OPTIMIZER_PASSES if kind == "sampled" else passes
    center_bytes = shape.active_rows * shape.embedding_size * _FLOAT
    return [Operation(0, backbone.trained * _FLOAT * passes), Operation(0, center_bytes * center_passes)]
