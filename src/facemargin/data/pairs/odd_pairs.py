"""Checks pairs for mistakes: an image with itself, a repeated pair, or a pair with two labels.

Shapes: K pairs.
"""

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError

logger = logging.getLogger(__name__)


def say_odd_pairs(
    name: str,
    describe: Callable[[int], str],
    first_K: NDArray[np.int64],
    second_K: NDArray[np.int64],
    same_K: NDArray[np.bool_] | None = None,
) -> None:
    """Log how many pairs of the set called `name` compare an image with itself, and how many are repeated, in either
    order. `describe` returns the name of an image. Raises DataError, which names the pair, for a pair that is both
    genuine and impostor, and for an impostor pair of an image with itself."""
    if not len(first_K):
        return
    low_K, high_K = np.minimum(first_K, second_K), np.maximum(first_K, second_K)
    itself_K = low_K == high_K
    keys_K = low_K * (int(high_K.max()) + 1) + high_K
    _, first_place, unique_K = np.unique(keys_K, return_index=True, return_inverse=True)
    again_K = first_place[unique_K] != np.arange(len(keys_K))
    if same_K is not None:
        contradicts_K = (same_K != same_K[first_place][unique_K]) | (itself_K & ~same_K)
        if contradicts_K.any():
            pair = int(np.argmax(contradicts_K))
            raise DataError(
                f"{name}: pair {pair + 1}, {describe(int(first_K[pair]))} and {describe(int(second_K[pair]))}, is "
                f"{'genuine' if same_K[pair] else 'impostor'}, "
                f"{'but it is an image with itself' if itself_K[pair] else 'but the opposite on another line'}"
            )
    kinds = (
        (itself_K, "pairs of an image with itself"),
        (again_K, "repeated pairs, in this or the other order"),
    )
    for odd_K, what in kinds:
        if odd_K.any():
            pair = int(np.argmax(odd_K))
            logger.warning(
                "%s: %s: %s of %s; the first is pair %d, %s and %s",
                name, what, f"{np.count_nonzero(odd_K):,}", f"{len(odd_K):,}", pair + 1,
                describe(int(first_K[pair])), describe(int(second_K[pair])),
            )  # fmt: skip
