"""Reduces the points of a curve without changing its picture. Shapes: R points of a curve, S of them kept."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

MAX_POINTS = 1000


def kept_points(x_R: FloatArray, y_R: FloatArray, max_points: int = MAX_POINTS) -> NDArray[np.intp]:
    """Ascending indices (S,) of at most `max_points` points that look like the whole curve when drawn.

    `x_R` ascends, in the units of the axis (logarithms for a log axis). It is divided into equal intervals, and each
    keeps its first, last, lowest and highest point, so that the ends and spikes are preserved.
    """
    if len(x_R) <= max_points:
        return np.arange(len(x_R))
    bins = max_points // 4
    span = (x_R[-1] - x_R[0]) or 1.0
    bin_R = ((x_R - x_R[0]) / span * bins).astype(np.intp).clip(max=bins - 1)
    starts = np.flatnonzero(np.diff(bin_R, prepend=-1))
    ends = np.append(starts[1:], len(x_R))
    kept = [starts, ends - 1]
    for key_R in (y_R, -y_R):
        by_value = np.lexsort((key_R, bin_R))
        kept.append(by_value[starts])
    return np.unique(np.concatenate(kept))


def moving_average(y_R: FloatArray, window: int) -> FloatArray:
    """For each point, the mean (R,) of the finite values of this point and its `window` // 2 neighbours on each side.
    NaN if none of them is finite."""
    finite_R = np.isfinite(y_R)
    total_R1 = np.concatenate([[0.0], np.cumsum(np.where(finite_R, y_R, 0.0))])
    count_R1 = np.concatenate([[0], np.cumsum(finite_R)])
    place_R = np.arange(len(y_R))
    low_R = (place_R - window // 2).clip(min=0)
    high_R = (place_R + window // 2 + 1).clip(max=len(y_R))
    count_R = count_R1[high_R] - count_R1[low_R]
    return np.where(count_R > 0, (total_R1[high_R] - total_R1[low_R]) / count_R.clip(min=1), np.nan)
