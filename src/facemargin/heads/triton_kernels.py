"""The kernels of heads/triton.py; importing this file needs triton.

Each makes one pass over the product x·Wᵀ of a chunk of classes, or over the centres. Shapes: B samples, C classes, D
feature values, K classes of one chunk, S parts of all classes.
"""

# Triton reads these signatures itself and accepts no annotations except tl.constexpr.
# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

__all__ = ["INTERPRETED", "gradient_kernel", "inverse_norms_kernel", "project_kernel", "statistics_kernel"]

#: whether the kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET=1 decides it when triton is imported
INTERPRETED = bool(triton.knobs.runtime.interpret)


@triton.jit(do_not_specialize=["first_class", "B", "K", "first_part", "columns_per_part"])
def statistics_kernel(
    product_BK,
    stride,
    inverse_norm_C,
    label_B,
    scale_B,
    threshold_B,
    quadratic_3,
    peak_SB,
    sum_SB,
    hardest_SB,
    weighted_SB,
    class_SB,
    first_class,
    B,
    K,
    first_part,
    columns_per_part,
    HARD: tl.constexpr,
    WEIGHTED: tl.constexpr,
    CLASS: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """Of every sample's negatives in one part of a chunk: the largest cosine after the quadratic (peak) and before it
    (hardest), Σ 2^(scale·(cosine − peak)), that sum weighted by the cosines, and the lowest class whose cosine before
    the quadratic is the largest (−1 without negatives). Grid (blocks of B, parts).

    `product_BK` has rows of `stride` numbers. `label_B` is −1 if the sample's class is not among the C; `scale_B` is
    positive and includes log2 e. Every lane of a block has its own peak and sums until the end.
    """
    rows = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    part = tl.program_id(1)
    inside = rows < B
    label = tl.load(label_B + rows, mask=inside, other=-1) - first_class
    scale = tl.load(scale_B + rows, mask=inside, other=1.0)[:, None]
    if HARD:
        threshold = tl.load(threshold_B + rows, mask=inside, other=0.0)[:, None]
        alpha, beta, gamma = tl.load(quadratic_3), tl.load(quadratic_3 + 1), tl.load(quadratic_3 + 2)
    peak = tl.full((BLOCK_B, BLOCK_K), float("-inf"), tl.float32)
    hardest = tl.full((BLOCK_B, BLOCK_K), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_B, BLOCK_K), tl.float32)
    weighted = tl.zeros((BLOCK_B, BLOCK_K), tl.float32)
    nearest = tl.full((BLOCK_B, BLOCK_K), -1, tl.int32)
    starts = rows.to(tl.int64)[:, None] * stride
    first_column = part * columns_per_part
    end = min(first_column + columns_per_part, K)
    for column in tl.range(first_column, end, BLOCK_K):
        columns = column + tl.arange(0, BLOCK_K)
        inverse_norm = tl.load(inverse_norm_C + first_class + columns, mask=columns < end, other=0.0)
        within = inside[:, None] & (columns < end)[None, :]
        cosine = tl.load(product_BK + starts + columns[None, :], mask=within, other=0.0) * inverse_norm[None, :]
        negative = (columns[None, :] != label[:, None]) & (columns < end)[None, :]
        cosine = tl.where(negative, cosine, float("-inf"))
        if CLASS:
            if HARD:
                nearer = cosine > hardest
            else:
                nearer = cosine > peak
            nearest = tl.where(nearer, (first_class + columns)[None, :], nearest)
        if HARD:
            hardest = tl.maximum(hardest, cosine)
            replaced = (alpha * cosine + beta) * cosine + gamma
            cosine = tl.where(cosine > threshold, replaced, cosine)  # −inf is never above the threshold
        grown = tl.maximum(peak, cosine)
        # Before the first negative any shift works except −inf, because −inf − −inf is NaN.
        shift = tl.where(grown == float("-inf"), 0.0, grown)
        exponential = tl.exp2((cosine - shift) * scale)
        shrink = tl.exp2((peak - shift) * scale)
        total = total * shrink + exponential
        if WEIGHTED:
            weighted = weighted * shrink + tl.where(exponential > 0, exponential * cosine, 0.0)
        peak = grown
    largest = tl.max(peak, 1)
    shift = tl.where(largest == float("-inf"), 0.0, largest)[:, None]
    shrink = tl.exp2((peak - shift) * scale)
    out = (first_part + part) * B + rows
    tl.store(peak_SB + out, largest, mask=inside)
    tl.store(sum_SB + out, tl.sum(total * shrink, 1), mask=inside)
    if HARD:
        tl.store(hardest_SB + out, tl.max(hardest, 1), mask=inside)
    if WEIGHTED:
        tl.store(weighted_SB + out, tl.sum(weighted * shrink, 1), mask=inside)
    if CLASS:
        if HARD:
            is_largest = hardest == tl.max(hardest, 1)[:, None]
        else:
            is_largest = peak == largest[:, None]
        tl.store(class_SB + out, tl.min(tl.where(is_largest, nearest, 2147483647), 1), mask=inside)


@triton.jit(do_not_specialize=["first_class", "B", "K"])
def gradient_kernel(
    product_BK,
    grad_BK,
    stride,
    inverse_norm_C,
    label_B,
    scale_B,
    threshold_B,
    quadratic_3,
    peak_B,
    coefficient_B,
    grad_target_B,
    first_class,
    B,
    K,
    HARD: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """The gradient with respect to the product x·Wᵀ, in the type of `grad_BK`, which may be the product's own memory.
    Grid (blocks of B, blocks of K).

    `coefficient_B` is the gradient of the log-sum-exp × scale / Σ 2^(scale·(cosine − peak)). Both have rows of `stride`
    numbers.
    """
    rows = tl.program_id(0) * BLOCK_B + tl.arange(0, BLOCK_B)
    columns = tl.program_id(1) * BLOCK_K + tl.arange(0, BLOCK_K)
    inside = rows < B
    within = inside[:, None] & (columns < K)[None, :]
    places = rows.to(tl.int64)[:, None] * stride + columns[None, :]
    inverse_norm = tl.load(inverse_norm_C + first_class + columns, mask=columns < K, other=0.0)[None, :]
    cosine = tl.load(product_BK + places, mask=within, other=0.0) * inverse_norm
    label = tl.load(label_B + rows, mask=inside, other=-1) - first_class
    scale = tl.load(scale_B + rows, mask=inside, other=1.0)[:, None]
    peak = tl.load(peak_B + rows, mask=inside, other=0.0)[:, None]
    coefficient = tl.load(coefficient_B + rows, mask=inside, other=0.0)[:, None]
    grad_target = tl.load(grad_target_B + rows, mask=inside, other=0.0)[:, None]
    if HARD:
        threshold = tl.load(threshold_B + rows, mask=inside, other=0.0)[:, None]
        alpha, beta, gamma = tl.load(quadratic_3), tl.load(quadratic_3 + 1), tl.load(quadratic_3 + 2)
        above = cosine > threshold
        slope = tl.where(above, 2 * alpha * cosine + beta, 1.0)
        effective = tl.where(above, (alpha * cosine + beta) * cosine + gamma, cosine)
        grad = coefficient * tl.exp2((effective - peak) * scale) * slope
    else:
        grad = coefficient * tl.exp2((cosine - peak) * scale)
    grad = tl.where(columns[None, :] == label[:, None], grad_target, grad) * inverse_norm
    tl.store(grad_BK + places, grad.to(grad_BK.dtype.element_ty), mask=within)


@triton.jit(do_not_specialize=["C"])
def inverse_norms_kernel(w_CD, inverse_norm_C, C, D: tl.constexpr, BLOCK_C: tl.constexpr, ROW: tl.constexpr):
    """1/norm of every centre, 1 for a centre of zeros. `ROW` is the power of two not below D. Grid (blocks of C)."""
    rows = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    columns = tl.arange(0, ROW)
    inside = (rows < C)[:, None] & (columns < D)[None, :]
    w = tl.load(w_CD + rows.to(tl.int64)[:, None] * D + columns[None, :], mask=inside, other=0.0)
    norm = tl.sqrt(tl.sum(w * w, 1))
    tl.store(inverse_norm_C + rows, 1 / tl.where(norm == 0, 1.0, norm), mask=rows < C)


@triton.jit(do_not_specialize=["K"])
def project_kernel(grad_KD, w_KD, inverse_norm_K, K, D: tl.constexpr, BLOCK_K: tl.constexpr, ROW: tl.constexpr):
    """Removes from the gradient of every centre, in place, the part along the centre, which does not change its
    direction. `ROW` is the power of two not below D. Grid (blocks of K)."""
    rows = tl.program_id(0) * BLOCK_K + tl.arange(0, BLOCK_K)
    columns = tl.arange(0, ROW)
    inside = (rows < K)[:, None] & (columns < D)[None, :]
    offsets = rows.to(tl.int64)[:, None] * D + columns[None, :]
    inverse_norm = tl.load(inverse_norm_K + rows, mask=rows < K, other=0.0)
    w = tl.load(w_KD + offsets, mask=inside, other=0.0)
    grad = tl.load(grad_KD + offsets, mask=inside, other=0.0)
    along = tl.sum(w * grad, 1) * inverse_norm * inverse_norm
    tl.store(grad_KD + offsets, grad - along[:, None] * w, mask=inside)
