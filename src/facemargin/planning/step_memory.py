"""What lies in the memory of a GPU. Sizes in bytes; W is the weight of the head, C×D float32 values."""

from dataclasses import dataclass, fields

from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.hardware import Device
from facemargin.planning.head_buffers import Implementation, head_buffers
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import ADAMW_STEP_BYTES, OPTIMIZER_STATES, HeadKind, Job, MarginFacts

_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one GPU. Not all of it is held at once (gradients come into being while activations go), so the total is
    an upper bound of what these parts take together.

    backbone, head: weights and batch-norm statistics. activations: what the forward pass keeps. head_buffers: what the
    head's forward and backward pass hold beside centres and gradient. The backbone's gradient is exchanged in place.
    """

    backbone_weights: int
    backbone_gradient: int
    backbone_optimizer: int
    activations: int
    head_weights: int
    head_gradient: int
    head_optimizer: int
    head_buffers: int

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
) -> Memory:
    """The parts of `Memory` for a head of this kind and shape."""
    states = OPTIMIZER_STATES[job.optimizer]
    steps = ADAMW_STEP_BYTES if job.optimizer == "adamw" else 0
    row_bytes = job.embedding_size * _FLOAT
    gradient = backbone.trained * _FLOAT
    sampled = kind == "sampled"
    active_bytes = shape.active_rows * row_bytes
    buffers = head_buffers(shape, margin, implementation, device)
    if sampled:
        # Its optimizer works on copies of the step's centres and their momentum, when the buffers are gone; the centres
        # themselves are a copy, too, from the forward pass on.
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
    )
