"""Non-maximum suppression: one box per face. Shapes: N boxes of left, top, right, bottom."""

import numpy as np
from numpy.typing import NDArray


def suppress_overlaps(
    boxes_N4: NDArray[np.float64], scores_N: NDArray[np.float64], max_overlap: float
) -> NDArray[np.int64]:
    """The indices of the boxes to keep, from the highest score to the lowest. A box is kept if its intersection over
    union with every kept box of a higher score is below `max_overlap`."""
    area_N = np.prod(np.maximum(boxes_N4[:, 2:] - boxes_N4[:, :2], 0), axis=1)
    left = np.argsort(-scores_N, kind="stable")
    kept = []
    while len(left):
        best, others = left[0], left[1:]
        kept.append(int(best))
        low = np.maximum(boxes_N4[best, :2], boxes_N4[others, :2])
        high = np.minimum(boxes_N4[best, 2:], boxes_N4[others, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = area_N[best] + area_N[others] - shared
        left = others[shared < max_overlap * union]
    return np.array(kept, dtype=np.int64)
