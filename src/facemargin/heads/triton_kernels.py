"""The fused kernels of heads/triton.py; importing this file needs triton.

A tile of cosines exists only in registers. One kernel reduces it to a few numbers per sample, another computes the
gradient with respect to x·w from it. Shapes: B samples, C classes, D feature values, K classes of one chunk, S splits
of the classes, R blocks of samples.
"""

# Triton reads these signatures itself and accepts no annotations except tl.constexpr.
# mypy: disable-error-code="no-untyped-def"

from dataclasses import fields

import triton
import triton.language as tl
from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = [
    "INTERPRETED",
    "ROUNDS_TO_TF32",
    "TensorDescriptor",
    "centers_kernel",
    "gradient_kernel",
    "inverse_norms_kernel",
    "project_kernel",
    "statistics_kernel",
]

#: whether the kernels run in Triton's interpreter, on the CPU: TRITON_INTERPRET=1 decides it when triton is imported
INTERPRETED = bool(triton.knobs.runtime.interpret)
#: whether descriptors can round what they load to TF32: from triton 3.7 on
ROUNDS_TO_TF32 = "round_f32_to_tf32" in {field.name for field in fields(TensorDescriptor)}


@triton.jit
def _cosines(
    x_BD,
    w_CD,
    factor_norm,
    first_row,
    first_class,
    D: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One tile of cosines; descriptors load zeros past the end of B, C and D. `factor_norm` is 1/norm of the centres as
    the product sees them."""
    product = tl.zeros((BLOCK_B, BLOCK_C), dtype=tl.float32)
    for d in tl.range(0, D, BLOCK_D):
        x = x_BD.load([first_row, d])
        w = w_CD.load([first_class, d])
        product = tl.dot(x, w.T, product, input_precision=PRECISION)
    return product * factor_norm[None, :]


@triton.jit(do_not_specialize=["B", "C", "blocks_per_split"])
def statistics_kernel(
    x_BD,
    w_CD,
    factor_norm_C,
    label_B,
    scale_B,
    threshold_B,
    quadratic_3,
    peak_SB,
    sum_SB,
    hardest_SB,
    weighted_SB,
    B,
    C,
    blocks_per_split,
    D: tl.constexpr,
    HARD: tl.constexpr,
    WEIGHTED: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Of every sample's negatives in one split of the classes: the largest cosine after the quadratic (peak) and before
    it (hardest), Σ 2^(scale·(cosine − peak)), and that sum weighted by the cosines. Grid (R, S).

    `label_B` is −1 if the sample's class is not among the C; `scale_B` is positive and includes log2 e.
    """
    first_row = tl.program_id(0) * BLOCK_B
    split = tl.program_id(1)
    rows = first_row + tl.arange(0, BLOCK_B)
    inside = rows < B
    label = tl.load(label_B + rows, mask=inside, other=-1)
    scale = tl.load(scale_B + rows, mask=inside, other=1.0)
    if HARD:
        threshold = tl.load(threshold_B + rows, mask=inside, other=0.0)
        alpha, beta, gamma = tl.load(quadratic_3), tl.load(quadratic_3 + 1), tl.load(quadratic_3 + 2)
    peak = tl.full((BLOCK_B,), float("-inf"), tl.float32)
    hardest = tl.full((BLOCK_B,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_B,), tl.float32)
    weighted = tl.zeros((BLOCK_B,), tl.float32)
    first_block = split * blocks_per_split
    for block in tl.range(first_block, min(first_block + blocks_per_split, tl.cdiv(C, BLOCK_C))):
        classes = block * BLOCK_C + tl.arange(0, BLOCK_C)
        factor_norm = tl.load(factor_norm_C + classes, mask=classes < C, other=0.0)
        cosine = _cosines(x_BD, w_CD, factor_norm, first_row, block * BLOCK_C, D, BLOCK_B, BLOCK_C, BLOCK_D, PRECISION)
        negative = (classes[None, :] != label[:, None]) & (classes[None, :] < C)
        cosine = tl.where(negative, cosine, float("-inf"))
        if HARD:
            hardest = tl.maximum(hardest, tl.max(cosine, 1))
            replaced = (alpha * cosine + beta) * cosine + gamma
            cosine = tl.where(cosine > threshold[:, None], replaced, cosine)  # −inf is never above the threshold
        grown = tl.maximum(peak, tl.max(cosine, 1))
        # Before the first negative any shift works except −inf, because −inf − −inf is NaN.
        shift = tl.where(grown == float("-inf"), 0.0, grown)
        exponential = tl.exp2((cosine - shift[:, None]) * scale[:, None])
        shrink = tl.exp2((peak - shift) * scale)
        total = total * shrink + tl.sum(exponential, 1)
        if WEIGHTED:
            weighted = weighted * shrink + tl.sum(tl.where(exponential > 0, exponential * cosine, 0.0), 1)
        peak = grown
    out = split * B + rows
    tl.store(peak_SB + out, peak, mask=inside)
    tl.store(sum_SB + out, total, mask=inside)
    if HARD:
        tl.store(hardest_SB + out, hardest, mask=inside)
    if WEIGHTED:
        tl.store(weighted_SB + out, weighted, mask=inside)


@triton.jit(do_not_specialize=["B", "C", "K", "first_class"])
def gradient_kernel(
    x_BD,
    w_CD,
    grad_BK,
    radial_RK,
    factor_norm_C,
    label_B,
    scale_B,
    threshold_B,
    quadratic_3,
    peak_B,
    coefficient_B,
    grad_target_B,
    inverse_norm_C,
    first_class,
    B,
    C,
    K,
    D: tl.constexpr,
    HARD: tl.constexpr,
    CUT: tl.constexpr,
    RADIAL: tl.constexpr,
    HALF: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The gradient with respect to x·w for one tile of a chunk of classes. Grid (R, blocks of classes in the chunk).

    `coefficient_B` is the gradient of the log-sum-exp × scale / Σ 2^(scale·(cosine − peak)). `inverse_norm_C` is 1/norm
    of the centres themselves, read if `CUT` says that factors are less than that. `RADIAL`: write the part of the
    centres' gradient along them, summed over the block of samples. `HALF`: the gradient is stored in bf16. K is the
    number of columns of the two.
    """
    first_row = tl.program_id(0) * BLOCK_B
    first_column = tl.program_id(1) * BLOCK_C
    rows = first_row + tl.arange(0, BLOCK_B)
    inside = rows < B
    classes = first_class + first_column + tl.arange(0, BLOCK_C)
    factor_norm = tl.load(factor_norm_C + classes, mask=classes < C, other=0.0)
    cosine = _cosines(
        x_BD, w_CD, factor_norm, first_row, first_class + first_column, D, BLOCK_B, BLOCK_C, BLOCK_D, PRECISION
    )
    label = tl.load(label_B + rows, mask=inside, other=-1)
    scale = tl.load(scale_B + rows, mask=inside, other=1.0)
    peak = tl.load(peak_B + rows, mask=inside, other=0.0)
    coefficient = tl.load(coefficient_B + rows, mask=inside, other=0.0)
    grad_target = tl.load(grad_target_B + rows, mask=inside, other=0.0)
    if HARD:
        threshold = tl.load(threshold_B + rows, mask=inside, other=0.0)
        alpha, beta, gamma = tl.load(quadratic_3), tl.load(quadratic_3 + 1), tl.load(quadratic_3 + 2)
        above = cosine > threshold[:, None]
        slope = tl.where(above, 2 * alpha * cosine + beta, 1.0)
        effective = tl.where(above, (alpha * cosine + beta) * cosine + gamma, cosine)
        grad = coefficient[:, None] * tl.exp2((effective - peak[:, None]) * scale[:, None]) * slope
    else:
        grad = coefficient[:, None] * tl.exp2((cosine - peak[:, None]) * scale[:, None])
    grad = tl.where(classes[None, :] == label[:, None], grad_target[:, None], grad)
    if CUT:
        factor_norm = tl.load(inverse_norm_C + classes, mask=classes < C, other=0.0)
    grad = grad * factor_norm[None, :]
    if HALF:
        grad = grad.to(tl.bfloat16)
    if RADIAL:  # of the values as they are stored, so that the part along the centre really goes
        along = tl.sum(grad.to(tl.float32) * cosine, 0) * factor_norm
        tl.store(radial_RK + tl.program_id(0) * K + first_column + tl.arange(0, BLOCK_C), along)
    grad_BK.store([first_row, first_column], grad)


@triton.jit(do_not_specialize=["C"])
def inverse_norms_kernel(
    w_CD,
    inverse_norm_C,
    factor_norm_C,
    C,
    D: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ROW: tl.constexpr,
    CUT: tl.constexpr,
):
    """1/norm of every centre, 1 for a centre of zeros. `CUT`: also that of what is left of it when the 13 last bits of
    its values are cut off (factor_norm_C). `ROW` is the power of two not below D. Grid (blocks of C)."""
    rows = tl.program_id(0) * BLOCK_C + tl.arange(0, BLOCK_C)
    columns = tl.arange(0, ROW)
    inside = (rows < C)[:, None] & (columns < D)[None, :]
    w = tl.load(w_CD + rows.to(tl.int64)[:, None] * D + columns[None, :], mask=inside, other=0.0)
    norm = tl.sqrt(tl.sum(w * w, 1))
    tl.store(inverse_norm_C + rows, 1 / tl.where(norm == 0, 1.0, norm), mask=rows < C)
    if CUT:
        w = (w.to(tl.int32, bitcast=True) & -8192).to(tl.float32, bitcast=True)
        norm = tl.sqrt(tl.sum(w * w, 1))
        tl.store(factor_norm_C + rows, 1 / tl.where(norm == 0, 1.0, norm), mask=rows < C)


@triton.jit(do_not_specialize=["B", "K", "R", "columns"])
def centers_kernel(
    grad_BK,
    x_BD,
    w_KD,
    radial_RK,
    grad_w_KD,
    B,
    K,
    R,
    columns,
    D: tl.constexpr,
    BLOCK_B: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The gradient of the centres of a chunk, Gᵀ·x less the part along each centre. Grid (blocks of D, of K).

    `radial_RK` has `columns` columns. The sum begins with the part along the centre, because only then do the registers
    hold one tile at a time.
    """
    first_d = tl.program_id(0) * BLOCK_D
    first_k = tl.program_id(1) * BLOCK_K
    rows = first_k + tl.arange(0, BLOCK_K)
    values = first_d + tl.arange(0, BLOCK_D)
    radial = tl.zeros((BLOCK_K,), tl.float32)
    for r in tl.range(0, R):
        radial += tl.load(radial_RK + r * columns + rows, mask=rows < K, other=0.0)
    inside = (rows < K)[:, None] & (values < D)[None, :]
    offsets = rows.to(tl.int64)[:, None] * D + values[None, :]
    total = -radial[:, None] * tl.load(w_KD + offsets, mask=inside, other=0.0)
    for b in tl.range(0, B, BLOCK_B):
        grad = grad_BK.load([b, first_k])
        x = x_BD.load([b, first_d])
        if PRECISION == "ieee":  # the interpreter, which would multiply the bits of bf16 as integers
            grad, x = grad.to(tl.float32), x.to(tl.float32)
        total = tl.dot(grad.T, x, total, input_precision=PRECISION)
    tl.store(grad_w_KD + offsets, total, mask=inside)


@triton.jit(do_not_specialize=["K"])
def project_kernel(
    grad_KD,
    w_KD,
    inverse_norm_K,
    K,
    D: tl.constexpr,
    BLOCK_K: tl.constexpr,
    ROW: tl.constexpr,
):
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
