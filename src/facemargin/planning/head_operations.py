"""The operations and memory traffic of the head in a step, for each implementation of `softmax_terms`.

Passes over B×C matrices, and over W and its gradient, are counted as reads and writes of float32 values; the tests
compare with the real head. On a GPU, chunks are larger than the cache. On a CPU they fit into the cache and cause no
memory traffic. Shapes: B samples, C centres of a step, D feature values.
"""

from facemargin.planning.hardware import Device
from facemargin.planning.head_buffers import Implementation, chunks_of
from facemargin.planning.head_shape import HeadShape
from facemargin.planning.job import MarginFacts
from facemargin.planning.machine import Operation

_FLOAT = 4

# Passes over B×C in addition to those of the products. More if negatives are re-weighted and if the scale has a
# gradient.
_PASSES = {"eager": 28.5, "chunked": 18, "recomputed": 18, "triton": 3}
_PASSES_REWEIGHTED = {"eager": 37.0, "chunked": 40.75, "recomputed": 40.75, "triton": 0}
_PASSES_LEARNED_SCALE = {"eager": 4, "chunked": 1, "recomputed": 1, "triton": 0}
# More for K > 1 sub-centres a class, a·K + b; for binary classification; if its cosines go through a power.
_PASSES_SUB_CENTERS = {"eager": (4.1, 7.2), "chunked": (16.7, -7.4), "recomputed": (16.7, -7.4), "triton": (0, 0)}
_PASSES_BINARY = {"eager": 12.6, "chunked": 11.7, "recomputed": 11.7, "triton": 0}
_PASSES_ADJUSTED = {"eager": 26.5, "chunked": 32, "recomputed": 32, "triton": 0}
# Passes over W or its gradient in addition to those of the products: for the norms, and to remove the part along a
# centre from its gradient. More if the margin needs a gradient of the samples' own centres.
_CENTER_PASSES = {"eager": 24, "chunked": 4, "recomputed": 4, "triton": 4}
_CENTER_PASSES_OWN = 5


def head_operations(
    shape: HeadShape, margin: MarginFacts, implementation: Implementation, device: Device = "cuda"
) -> list[Operation]:
    """The products x·Wᵀ, G·W and Gᵀ·x, the other passes, and the cosines a second time for chunks that do not keep
    them."""
    features, centers = (_FLOAT * rows * shape.embedding_size for rows in (shape.samples, shape.active_rows))
    cached = device == "cpu" and implementation != "eager"
    matrix = 0 if cached else _FLOAT * shape.samples * shape.active_classes
    flops = 2 * shape.cosines * shape.embedding_size
    product = Operation(flops, features + centers + matrix * shape.sub_centers)
    passes = _PASSES[implementation]
    passes += _PASSES_REWEIGHTED[implementation] * margin.reweights_negatives
    passes += _PASSES_LEARNED_SCALE[implementation] * margin.learned_scale
    passes += _PASSES_BINARY[implementation] * margin.binary + _PASSES_ADJUSTED[implementation] * margin.adjusts_cosines
    if shape.sub_centers > 1:
        a, b = _PASSES_SUB_CENTERS[implementation]
        passes += a * shape.sub_centers + b
    operations = [product] * 3
    if implementation == "triton":
        operations.append(product)  # x·Wᵀ once more, in backward
    elif implementation != "eager":
        again = 1 - chunks_of(shape, implementation, device).kept / max(shape.active_classes, 1)
        operations.append(Operation(again * flops, again * product.bytes))
        passes += 2 * again
    center_passes = _CENTER_PASSES[implementation] + _CENTER_PASSES_OWN * margin.needs_centers
    return [*operations, Operation(0, passes * matrix), Operation(0, center_passes * centers)]
