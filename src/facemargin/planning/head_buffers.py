"""The memory of the head's forward and backward pass, without centres and gradient, for each implementation of
`softmax_terms`.

Shapes: B samples, C centres of a step, D feature values, K centres of a chunk.
"""

from dataclasses import dataclass
from typing import Literal

from facemargin.planning.hardware import Device, Hardware
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import MarginFacts

Implementation = Literal["eager", "chunked", "recomputed", "triton"]
"""The implementations of `create_head`: whole matrices; chunks whose cosines are kept as far as memory allows; chunks
whose cosines are hardly kept; fused kernels."""

_FLOAT = 4

# The number of B×C float32 matrices, with masks, that "eager" holds at its peak. It is larger if negatives are
# re-weighted and if the scale has a gradient.
_EAGER_MATRICES, _EAGER_REWEIGHTED, _EAGER_LEARNED_SCALE = 4.5, 1.75, 1.0
# The peak of "eager" in multiples of W's size, when it computes the gradient of the centres from that of the normalised
# centres.
_EAGER_CENTERS = 4
# Up to this number of cosines, "auto" is "eager".
LARGEST_EAGER_PRODUCT = 2**24
# The number of cosines in a chunk, and how many bytes of cosines are kept from forward to backward (heads/chunked.py).
CHUNK_COSINES = {"cuda": 2**26, "cpu": 2**19}
KEPT_BYTES = {"cuda": 2**32, "cpu": 2**30}
KEPT_BYTES_RECOMPUTED = 2**25
# The number of entries of Triton's workspace (heads/triton.py).
TRITON_ENTRIES = 2**26


@dataclass(frozen=True)
class Chunks:
    """classes: K. kept: the number of centres (of whole chunks) whose cosines are kept until the backward pass."""

    classes: int
    kept: int


def chosen_implementation(
    wanted: Implementation | Literal["auto"], shape: HeadShape, hardware: Hardware
) -> Implementation:
    """The implementation that "auto" chooses for this shape on this hardware, or else the `wanted` one."""
    if wanted != "auto":
        return wanted
    if shape.cosines <= LARGEST_EAGER_PRODUCT:
        return "eager"
    return "triton" if hardware.fused_head else "chunked"


def chunks_of(shape: HeadShape, implementation: Implementation, device: Device = "cuda") -> Chunks:
    """The chunks into which "chunked" or "recomputed" divides the work."""
    classes = max(256, CHUNK_COSINES[device] // shape.samples // 64 * 64)
    kept_bytes = KEPT_BYTES[device] if implementation == "chunked" else KEPT_BYTES_RECOMPUTED
    kept = kept_bytes // (_FLOAT * shape.samples) // classes * classes
    return Chunks(min(classes, shape.active_rows), min(kept, shape.active_rows))


def head_buffers(shape: HeadShape, margin: MarginFacts, implementation: Implementation, device: Device = "cuda") -> int:
    """The largest number of bytes held at a time."""
    centers = shape.active_rows * shape.embedding_size
    features = shape.samples * shape.embedding_size
    if implementation == "eager":
        matrices = _EAGER_MATRICES + _EAGER_REWEIGHTED * margin.reweights_negatives
        matrices += _EAGER_LEARNED_SCALE * margin.learned_scale
        values = max(matrices * shape.cosines, _EAGER_CENTERS * centers)
        feature_copies = 3
    elif implementation == "triton":
        workspace = min(TRITON_ENTRIES // shape.samples, shape.active_rows)
        values = workspace * shape.samples + shape.active_rows
        feature_copies = 3
    else:
        chunks = chunks_of(shape, implementation, device)
        # Exponentials and their product with the cosines; cosines that are not kept; replaced cosines, slopes and a
        # mask.
        scratch = 2 + (chunks.kept < shape.active_rows) + 2.25 * margin.reweights_negatives
        values = (chunks.kept + scratch * chunks.classes) * shape.samples
        values += 2 * shape.active_rows + chunks.classes  # for the norms of the centres
        feature_copies = 6
    if margin.needs_centers:
        # The gradient of the samples' own centres has the size of all centres until it is added to the other gradients.
        values += centers + features
    return int(_FLOAT * (values + feature_copies * features))
