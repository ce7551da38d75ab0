"""The memory that a training step needs on a GPU. Sizes are in bytes; W is the weight of the head, C×D float32
values."""

from dataclasses import dataclass, fields

from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.hardware import Device
from facemargin.planning.head_buffers import Implementation, head_buffers
from facemargin.planning.head_memory import memory_buffers, memory_state
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import ADAMW_STEP_BYTES, OPTIMIZER_STATES, HeadKind, Job, MarginFacts

_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one GPU. Not everything is held at the same time (activations are freed while gradients are computed),
    so the total is an upper bound.

    backbone, head: weights and batch-norm statistics. activations: kept by the forward pass. head_buffers: held by the
    head's forward and backward pass, without centres and gradient. head_memory: what the head remembers of earlier
    batches. The backbone's gradient is exchanged in place.
    """

    backbone_weights: int
    backbone_gradient: int
    backbone_optimizer: int
    activations: int
    head_weights: int
    head_gradient: int
    head_optimizer: int
    head_buffers: int
    head_memory: int = 0

    @property
    def total(self) -> int:
        return sum(getattr(self, part.name) for part in fields(self))


def step_memory(
    job: Job,
    kind: HeadKind,
    shape: HeadShape,
    backbone: BackboneCost,
    margin: MarginFacts,
    implementation: Implementation,
    device: Device = "cuda",
    queue_implementation: Implementation | None = None,
) -> Memory:
    """The parts of `Memory` for a head of this kind and shape. `queue_implementation`: that of BroadFace's queue."""
    states = OPTIMIZER_STATES[job.optimizer]
    steps = ADAMW_STEP_BYTES if job.optimizer == "adamw" else 0
    row_bytes = job.embedding_size * _FLOAT
    gradient = backbone.trained * _FLOAT
    sampled = kind == "sampled"
    active_bytes = shape.active_rows * row_bytes
    buffers = head_buffers(shape, margin, implementation, device, job.backward)
    buffers += memory_buffers(job, shape, margin, queue_implementation, device)
    if sampled:
        # The optimizer works on copies of the step's centres and their momentum, after the buffers are freed. The
        # sampled centres are also a copy, from the forward pass on.
        buffers = active_bytes + max(buffers, 2 * active_bytes)
    return Memory(
        backbone_weights=(backbone.parameters + backbone.buffers) * _FLOAT,
        backbone_gradient=gradient,
        backbone_optimizer=states * gradient + steps * backbone.trained_tensors,
        activations=backbone.activations(job.batch),
        head_weights=shape.rows * row_bytes,
        head_gradient=active_bytes,
        head_optimizer=states * shape.rows * row_bytes + steps,
        head_buffers=buffers,
        head_memory=memory_state(job, shape),
    )
