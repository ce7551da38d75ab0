"""The memory of the head's forward and backward pass, without centres and gradient, for each implementation of
`softmax_terms`.

Shapes: B samples, C centres of a step, D feature values, K centres of a chunk.
"""

from dataclasses import dataclass
from typing import Literal

from facemargin.errors import ConfigError
from facemargin.heads.rounded_products import Backward
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
# What binary classification holds beside that, and what the power of its cosines does: whole matrices, or chunks.
_EAGER_BINARY, _CHUNKED_BINARY = 2.75, 1
_EAGER_ADJUSTED, _CHUNKED_ADJUSTED = 2.0, 2
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
    """classes: K. kept: the number of classes (of whole chunks) whose cosines are kept until the backward pass."""

    classes: int
    kept: int


def chosen_implementation(
    wanted: Implementation | Literal["auto"], shape: HeadShape, hardware: Hardware, binary: bool = False
) -> Implementation:
    """The implementation that "auto" chooses for this shape on this hardware, or else the `wanted` one. Raises
    ConfigError where that has no kernels for sub-centres or binary classification."""
    fused = shape.sub_centers == 1 and not binary
    if wanted == "triton" and not fused:
        what = "binary classification" if binary else "sub-centres"
        raise ConfigError(f'implementation is "triton", which has no kernels for {what}: use "auto" or "chunked"')
    if wanted != "auto":
        return wanted
    if shape.cosines <= LARGEST_EAGER_PRODUCT:
        return "eager"
    return "triton" if hardware.fused_head and fused else "chunked"


def chunks_of(shape: HeadShape, implementation: Implementation, device: Device = "cuda") -> Chunks:
    """The chunks into which "chunked" or "recomputed" divides the work."""
    k, active = shape.sub_centers, shape.active_classes
    classes = max(256, CHUNK_COSINES[device] // shape.samples // k // 64 * 64)
    kept_bytes = KEPT_BYTES[device] if implementation == "chunked" else KEPT_BYTES_RECOMPUTED
    kept = kept_bytes // ((_FLOAT + (k > 1)) * shape.samples) // classes * classes
    return Chunks(min(classes, active), min(kept, active))


def head_buffers(
    shape: HeadShape,
    margin: MarginFacts,
    implementation: Implementation,
    device: Device = "cuda",
    backward: Backward = "float32",
) -> int:
    """The largest number of bytes held at a time."""
    centers = shape.active_rows * shape.embedding_size
    features = shape.samples * shape.embedding_size
    if implementation == "eager":
        matrices = _EAGER_MATRICES + _EAGER_REWEIGHTED * margin.reweights_negatives
        matrices += _EAGER_LEARNED_SCALE * margin.learned_scale
        matrices += _EAGER_BINARY * margin.binary + _EAGER_ADJUSTED * margin.adjusts_cosines
        if shape.sub_centers > 1:  # which centre is nearest, in eight bytes; in backward a gradient for all centres
            matrices = max(matrices + 2, shape.sub_centers + 3)
        values = max(matrices * shape.samples * shape.active_classes, _EAGER_CENTERS * centers)
        feature_copies = 3.0
    elif implementation == "triton":
        workspace = min(TRITON_ENTRIES // shape.samples, shape.active_rows)
        values = workspace * shape.samples + shape.active_rows
        feature_copies = 3.0
        if backward == "bf16":  # the gradient and the centres of a chunk once more, and the features
            values += 0.5 * workspace * (shape.samples + shape.embedding_size)
            feature_copies += 1.5
    else:
        chunks = chunks_of(shape, implementation, device)
        # Exponentials and their product with the cosines; cosines that are not kept; replaced cosines, slopes and a
        # mask.
        again = chunks.kept < shape.active_classes
        scratch = 2 + again + 2.25 * margin.reweights_negatives
        scratch += _CHUNKED_BINARY * margin.binary
        adjusted = _CHUNKED_ADJUSTED * margin.adjusts_cosines * chunks.classes * shape.samples
        if shape.sub_centers > 1:
            # Of all centres: the shares and their products with the cosines; the cosines, if computed again. Of the
            # classes, in bytes: which centre is nearest, and a mask.
            scratch += 0.75 + (2 + again) * shape.sub_centers + 0.25 + 0.25 * again
        byte = 0.25 * (shape.sub_centers > 1)
        values = ((1 + byte) * chunks.kept + scratch * chunks.classes) * shape.samples
        rounded = 0.0
        values += 2 * shape.active_rows + chunks.classes  # for the norms of the centres
        feature_copies = 6.0
        if backward == "bf16":  # the share and the centres of a chunk once more; on a CPU the product, too
            rows = chunks.classes * shape.sub_centers
            rounded = 0.5 * rows * (shape.samples + shape.embedding_size * (1 + (device == "cpu")))
            feature_copies += 1.5
        values += max(adjusted, rounded)  # not at the same time
    if margin.needs_centers:
        # The gradient of the samples' own centres has the size of all centres until it is added to the other gradients.
        values += centers + features
    return int(_FLOAT * (values + feature_copies * features))
