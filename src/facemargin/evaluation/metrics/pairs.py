"""The checks of the arrays that all metrics on pairs share. Shapes: K pairs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.metrics.inputs import as_flags, as_numbers

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def check_pairs(scores: ArrayLike, same: ArrayLike, keep_float32: bool = False) -> tuple[FloatArray, BoolArray]:
    """`scores_K` as float64 (float32 may be kept to save memory if only the order of the scores matters) and `same_K`
    as bool. Raises DataError unless both are (K,), the scores are finite, the labels are 0 or 1, and there is at least
    one genuine and one impostor pair."""
    scores_K = check_finite("scores", scores, keep_float32=keep_float32)
    same_K = as_flags("same", same, "True (1) for genuine", "False (0) for impostor")
    if same_K.shape != scores_K.shape:
        raise DataError(f"same has shape {same_K.shape}, expected {scores_K.shape}: one label per score")
    if same_K.all() or not same_K.any():
        missing = "impostor" if same_K.any() else "genuine"
        raise DataError(
            f"none of the {counted(len(same_K), 'pair')} is {missing}; both kinds are needed to choose a threshold"
        )
    return scores_K, same_K


def check_finite(
    name: str, values: ArrayLike, shape: tuple[int, ...] | None = None, keep_float32: bool = False
) -> FloatArray:
    """`values` as float64. Raises DataError unless they are finite and (K,), or of `shape` if it is given."""
    values_K = as_numbers(name, values)
    if not (keep_float32 and values_K.dtype == np.float32):
        values_K = values_K.astype(np.float64, copy=False)
    if values_K.ndim != 1 or (shape is not None and values_K.shape != shape):
        hint = f"; pass {name}.ravel()" if values_K.ndim == 2 and 1 in values_K.shape else ""
        raise DataError(f"{name} has shape {values_K.shape}, expected {shape or '(K,)'}: one number per pair{hint}")
    finite_K = np.isfinite(values_K)
    if not finite_K.all():
        first = int(np.argmin(finite_K))
        count = len(values_K) - np.count_nonzero(finite_K)
        raise DataError(f"{count} of {len(values_K)} {name} are not finite; the first is {name}[{first}]")
    return values_K
