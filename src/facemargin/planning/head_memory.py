"""What a head's memory of earlier batches adds to a step: BroadFace's queue of samples, VPL's feature of every class.

Shapes: Q samples of the queue, C centres of this GPU, D feature values.
"""

from dataclasses import replace

from facemargin.planning.hardware import Device
from facemargin.planning.head_buffers import Implementation, head_buffers
from facemargin.planning.head_operations import head_operations
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import Job, MarginFacts
from facemargin.planning.machine import Operation

_FLOAT, _INT64 = 4, 8
# Copies of the queue's features that a step holds: their centres, moved, of unit length.
_QUEUE_FEATURES = 4
# Passes over all centres by which VPL mixes features into them, and takes the gradient back.
_MIXING_PASSES = 13


def queue_shape(job: Job, shape: HeadShape) -> HeadShape | None:
    """The work of the queue's samples, which every GPU does for its own centres; None without a queue."""
    return replace(shape, samples=job.queue_size) if job.head_memory == "broadface" else None


def memory_state(job: Job, shape: HeadShape) -> int:
    """Bytes on a GPU that stay from step to step."""
    if job.head_memory == "broadface":  # the same queue everywhere: vectors and two norms
        return job.queue_size * (job.embedding_size + 2) * _FLOAT
    if job.head_memory == "vpl":  # and in which pass a class was seen
        return shape.rows * (job.embedding_size * _FLOAT + _INT64)
    return 0


def memory_buffers(
    job: Job, shape: HeadShape, margin: MarginFacts, implementation: Implementation | None, device: Device
) -> int:
    """Bytes that a step holds beside those of the batch. `implementation`: that of the queue's samples."""
    centers = shape.active_rows * job.embedding_size * _FLOAT
    queue = queue_shape(job, shape)
    if queue is not None and implementation is not None:
        features = _QUEUE_FEATURES * job.queue_size * job.embedding_size * _FLOAT
        # Both parts of the loss have a gradient of all centres before one is added to the other.
        return centers + features + head_buffers(queue, margin, implementation, device, job.backward)
    return centers if job.head_memory == "vpl" else 0  # the mixed ones


def memory_operations(
    job: Job, shape: HeadShape, margin: MarginFacts, implementation: Implementation | None, device: Device
) -> list[Operation]:
    """The operations beside those of the batch."""
    queue = queue_shape(job, shape)
    if queue is not None and implementation is not None:
        return head_operations(queue, margin, implementation, device)
    passes = _MIXING_PASSES if job.head_memory == "vpl" else 0
    return [Operation(0, passes * shape.active_rows * job.embedding_size * _FLOAT)]
