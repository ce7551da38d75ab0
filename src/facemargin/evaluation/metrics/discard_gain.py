"""What discarding by quality gains over discarding at random, with an interval of the difference.

Shapes: G genuine pairs, T levels of quality.
"""

from dataclasses import dataclass

import numpy as np

from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Interval, sample_intervals
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class DiscardGain:
    """`relative`: the area under the error-versus-discard curve from 0 to `limit`, divided by that of discarding at
    random (`relative_to_start` of `DiscardLimit`). `difference` = relative − 1, negative where quality helps, with its
    bootstrap `interval` over people. All are NaN and None if there is no error; the interval is None if no resample
    differs."""

    limit: float
    relative: float
    difference: float
    interval: Interval | None


def discard_gain(
    missed_G: BoolArray,
    quality_G: FloatArray,
    identities_G: IntArray,
    limit: float,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> DiscardGain:
    """Discard genuine pairs from the lowest `quality_G` up. `missed_G`: which are falsely not matched at a threshold
    that is fixed. `identities_G`: the person of each pair.

    In a random order, the error of the remaining pairs is on average that of all, at every discarded fraction: the
    expected area is limit · FNMR, exactly, and no order has to be drawn. In every resample of people, both areas are
    those of the same pairs, so that what they share cancels out.
    """
    level_T, place_G = np.unique(quality_G, return_inverse=True)

    def relative(weights_G: IntArray) -> float:
        at_level_T = np.bincount(place_G, weights_G, len(level_T))
        wrong_T = np.bincount(place_G, weights_G * missed_G, len(level_T))
        total, wrong = at_level_T.sum(), wrong_T.sum()
        if not wrong:
            return np.nan
        kept_T = at_level_T[::-1].cumsum()[::-1]
        fnmr_T = np.divide(wrong_T[::-1].cumsum()[::-1], kept_T, out=np.zeros_like(kept_T), where=kept_T > 0)
        edges = np.append(1 - kept_T / total, 1.0).clip(max=limit)
        return float(np.sum(fnmr_T * np.diff(edges)) / (limit * wrong / total))

    found = relative(np.ones(len(missed_G), dtype=np.int64))
    (interval,) = sample_intervals(lambda weights_G: [relative(weights_G) - 1], identities_G, bootstrap)
    return DiscardGain(limit, found, found - 1, interval)
