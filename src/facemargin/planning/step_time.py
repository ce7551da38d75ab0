"""How long a step takes: the backbone, the head, the optimizer, and the exchanges that nothing hides.

One after another but for the backbone's gradient, which is exchanged bucket by bucket while its backward pass goes on.
Reading and augmenting images, launching kernels and the links' latency are left out.
Shapes: B samples, C centres of a step, D feature values.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.collectives import Collective
from facemargin.planning.head_buffers import Implementation
from facemargin.planning.head_operations import head_operations
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import OPTIMIZER_STATES, HeadKind, Job, MarginFacts
from facemargin.planning.machine import Machine, Operation

_FLOAT = 4

# Times that the row optimizer of sampled centres reads or writes as much as their gradient, beside products.
_ROW_OPTIMIZER_PASSES = 21


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """Seconds. gradient_exchange: the whole exchange that the backbone's backward pass hides; exposed_exchange: what of
    it takes longer than that pass."""

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
) -> StepTime:
    """The time of a step of this head on this machine."""
    # A replicated head's gradient comes first of all and goes with the backbone's.
    hidden = [one for one in collectives if one.part == "backbone" or kind == "dense"]
    in_turn = [one for one in collectives if one not in hidden]

    def exchange(some: Sequence[Collective]) -> float:
        return sum(one.sent(job.gpus) for one in some) / machine.link_rate(job.gpus, job.gpus_per_node)

    return StepTime(
        backbone_forward=machine.seconds(operation.at(job.batch) for operation in backbone.forward),
        backbone_backward=machine.seconds(operation.at(job.batch) for operation in backbone.backward),
        head=machine.seconds(head_operations(shape, margin, implementation, machine.hardware.device)),
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
