"""p-values of several comparisons."""

from collections.abc import Sequence

import numpy as np

from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.inputs import as_rates


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """p-values adjusted for the number of comparisons, so that the probability of even one wrong finding among those
    below δ is at most δ (S. Holm, Scand. J. Statist. 1979): the smallest is multiplied by their number, the next by one
    less, and so on; none is below the one before, or above 1. Their order is kept.

    Examples:
        >>> import facemargin as fm
        >>> fm.evaluation.holm([0.04, 0.01, 0.03])
        (0.06, 0.03, 0.06)
    """
    given = as_rates("p_values", p_values)
    if not all(0 <= p <= 1 for p in given):
        raise ConfigError(f"p_values are {given}, expected numbers from 0 to 1")
    order = np.argsort(given, kind="stable")
    factors = np.arange(len(given), 0, -1)
    adjusted = np.empty(len(given))
    adjusted[order] = np.minimum(np.maximum.accumulate(np.array(given)[order] * factors), 1)
    return tuple(adjusted.tolist())
