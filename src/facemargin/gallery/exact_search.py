"""The rows most like a probe, exactly.

Shapes: R rows, P probes, D size, K candidates, C rows that may be among them.
"""

import numpy as np
from numpy.typing import NDArray

_PRODUCTS = 1 << 21
"""How many products of rows and probes are held at a time."""
_PROBES = 64


def search_rows(
    rows_RD: NDArray[np.float32], number_R: NDArray[np.int64], probes_PD: NDArray[np.float32], candidates: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The numbers (P, K) of the rows most like each probe, best first, and their scores; −1 and NaN where there are no
    more. Rows of number −1 do not count. Rows and probes have unit length.

    The score is `exact_score`, and of equal ones the smaller number comes first: what comparing one by one gives, bit
    for bit, whatever the processor. Products of many rows at once, whose last bits depend on how many they are, only
    choose the rows that are compared so: a product of two unit vectors of D values in float32 is off by less than
    (D + 2)·2⁻²³ (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1, twice over), so that no row
    is passed over that could be among the best.
    """
    numbers_PK = np.full((len(probes_PD), candidates), -1, np.int64)
    scores_PK = np.full((len(probes_PD), candidates), np.nan)
    for start in range(0, len(probes_PD), _PROBES):
        block = probes_PD[start : start + _PROBES]
        for place, rows_C in enumerate(_possible(rows_RD, number_R, block, candidates), start):
            numbers_C = number_R[rows_C]
            scores_C = np.array([exact_score(rows_RD[row], probes_PD[place]) for row in rows_C.tolist()])
            order = np.lexsort((numbers_C, -scores_C))[:candidates]
            numbers_PK[place, : len(order)], scores_PK[place, : len(order)] = numbers_C[order], scores_C[order]
    return numbers_PK, scores_PK


def exact_score(a_D: NDArray[np.float32], b_D: NDArray[np.float32]) -> float:
    """The cosine of two unit vectors, as `verify` computes it: the product of their float32 values in float64."""
    return float(np.dot(a_D.astype(np.float64), b_D))


def rounding_slack(size: int) -> float:
    """By how much two products in float32 may be off, together, of unit vectors of so many values."""
    return 2 * (size + 2) * 2.0**-23


def _possible(
    rows_RD: NDArray[np.float32], number_R: NDArray[np.int64], probes_PD: NDArray[np.float32], candidates: int
) -> list[NDArray[np.int64]]:
    """For each probe the rows that may be among its best."""
    slack = rounding_slack(probes_PD.shape[1])
    probes_DP = np.ascontiguousarray(probes_PD.T)
    rows: list[NDArray[np.int64]] = [np.empty(0, np.int64) for _ in probes_PD]
    scores: list[NDArray[np.float32]] = [np.empty(0, np.float32) for _ in probes_PD]
    lowest_P = np.full(len(probes_PD), -np.inf)
    step = max(1, _PRODUCTS // len(probes_PD))
    for start in range(0, len(rows_RD), step):
        numbers = number_R[start : start + step]
        block_PR = (rows_RD[start : start + step] @ probes_DP).T
        for place, scores_R in enumerate(block_PR):
            found = np.flatnonzero(scores_R >= lowest_P[place])
            found = found[numbers[found] >= 0]
            if not len(found):
                continue
            found_scores = scores_R[found]
            if len(found) > candidates:  # most of them are not even among the best of this block
                least = np.partition(found_scores, -candidates)[-candidates] - slack
                found, found_scores = found[found_scores >= least], found_scores[found_scores >= least]
            rows[place] = np.concatenate([rows[place], found + start])
            scores[place] = np.concatenate([scores[place], found_scores])
            if len(scores[place]) >= candidates:
                lowest_P[place] = np.partition(scores[place], -candidates)[-candidates] - slack
                keep = scores[place] >= lowest_P[place]
                rows[place], scores[place] = rows[place][keep], scores[place][keep]
    return rows
