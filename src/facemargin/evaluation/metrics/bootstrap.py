"""Confidence intervals by resampling identities, because pairs that share a person are not independent.

Shapes: K pairs, I identities, R resamples, F figures.

Identities are drawn with replacement; identity i comes up m_i times. In the resampled population an impostor pair (i,
j) exists between each copy of i and each copy of j: m_i·m_j times. A genuine pair lies within one copy of its person:
m_i times. Pairs between two copies of one person were never measured, and are left out. This is the vertex bootstrap of
Snijders and Borgatti (1999) that Fogliato, Patil and Perona (arXiv 2306.01198) examine for 1:1 matching. The intervals
are percentiles of the resampled figures. If all resamples give the same value (a rate of exactly 0 or 1, or two
people), there is no interval, because an interval of width zero would suggest certainty. With few identities or few
errors the intervals are too narrow; the same paper shows by how much.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.inputs import as_identities
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray

Interval = tuple[float, float]

_NO_WIDTH = 1e-12
FEWEST_IDENTITIES = 3
"""With two people, all resamples that contain both have the same pairs."""


@dataclass(frozen=True)
class Bootstrap:
    """The settings of bootstrap intervals: the number of resamples, the confidence, and the seed of the random
    draws.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> found = fm.evaluation.evaluate_verification(embed, pairs, "pixels")
        >>> summary = fm.evaluation.summarize(found, bootstrap=fm.evaluation.Bootstrap(resamples=50))
        >>> low, high = summary.roc.auc_interval
        >>> low < summary.roc.auc < high
        True
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ConfigError(f"bootstrap resamples={self.resamples}, expected at least 1")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"bootstrap confidence={self.confidence}, expected a number between 0 and 1")


DEFAULT_BOOTSTRAP = Bootstrap()


def pair_intervals(
    figures: Callable[[IntArray], Sequence[float]],
    count: int,
    same_K: BoolArray,
    identities_a: ArrayLike | None,
    identities_b: ArrayLike | None,
    bootstrap: Bootstrap | None,
) -> list[Interval | None]:
    """The intervals of the `count` figures that `figures(weights_K)` computes, where pair k counts weights_K[k] times.

    All are None if there are no identities, fewer than `FEWEST_IDENTITIES` or no bootstrap. An interval of width zero
    is None. Raises DataError if the identities are given for one side only, are not (K,), or contradict `same_K`.
    Resamples in which a figure is NaN (for example, because no impostor pair was drawn) are left out of its interval.
    """
    if identities_a is None and identities_b is None:
        return [None] * count
    if identities_a is None or identities_b is None:
        raise DataError(
            "identities are given for one side of the pairs only; the bootstrap needs both identities_a and "
            "identities_b"
        )
    code_a_K, code_b_K, num_identities = identity_codes(
        as_identities("identities_a", identities_a), as_identities("identities_b", identities_b), same_K
    )
    if bootstrap is None or num_identities < FEWEST_IDENTITIES:
        return [None] * count
    require_bootstrap(bootstrap)
    return _percentiles(
        [
            figures(multiplicity_I[code_a_K] * np.where(same_K, 1, multiplicity_I[code_b_K]))
            for multiplicity_I in identity_multiplicities(num_identities, bootstrap)
        ],
        bootstrap.confidence,
    )


def sample_intervals(
    figures: Callable[[IntArray], Sequence[float]], identities_N: ArrayLike, bootstrap: Bootstrap
) -> list[Interval | None]:
    """As `pair_intervals` for N samples (1:N probes) that belong to one identity each."""
    require_bootstrap(bootstrap)
    names_I, code_N = np.unique(np.asarray(identities_N), return_inverse=True)
    return _percentiles(
        [figures(multiplicity_I[code_N]) for multiplicity_I in identity_multiplicities(len(names_I), bootstrap)],
        bootstrap.confidence,
    )


def identity_multiplicities(num_identities: int, bootstrap: Bootstrap) -> Iterator[IntArray]:
    """Yields, for each resample, how often each identity is drawn. Resample r depends on (seed, r) only, so that two
    systems tested on the same people get the same draws."""
    for resample in range(bootstrap.resamples):
        drawn = np.random.default_rng((bootstrap.seed, resample)).integers(num_identities, size=num_identities)
        yield np.bincount(drawn, minlength=num_identities)


def identity_codes(
    names_a_K: NDArray[Any], names_b_K: NDArray[Any], same_K: BoolArray
) -> tuple[IntArray, IntArray, int]:
    """The number of the person on each side of the pairs, from 0 on, and how many people there are. Raises DataError
    for identities of another shape and for labels that contradict them."""
    for side, names_K in (("identities_a", names_a_K), ("identities_b", names_b_K)):
        if names_K.shape != same_K.shape:
            raise DataError(f"{side} has shape {names_K.shape}, expected {same_K.shape}: one identity per pair")
    code_a_K, code_b_K, people = _numbered(names_a_K, names_b_K)
    contradicts_K = (code_a_K == code_b_K) != same_K
    if contradicts_K.any():
        first = int(np.argmax(contradicts_K))
        label = "genuine" if same_K[first] else "impostor"
        raise DataError(
            f"{counted(int(np.count_nonzero(contradicts_K)), 'pair')} with a label that contradicts the identities; "
            f"the first is pair {first}, labelled {label}, of identities {names_a_K[first]} and {names_b_K[first]}"
        )
    return code_a_K, code_b_K, people


def _numbered(names_a_K: NDArray[Any], names_b_K: NDArray[Any]) -> tuple[IntArray, IntArray, int]:
    sides = (names_a_K, names_b_K)
    if len(names_a_K) and all(names_K.dtype.kind == "i" for names_K in sides):
        lowest = min(int(names_K.min()) for names_K in sides)
        span = max(int(names_K.max()) for names_K in sides) - lowest + 1
        if span <= 4 * len(names_a_K):  # sorting millions of numbers would take seconds
            offsets = [np.subtract(names_K, lowest, dtype=np.int64) for names_K in sides]
            present = np.zeros(span, dtype=bool)
            for offset_K in offsets:
                present[offset_K] = True
            place = np.cumsum(present) - 1
            return place[offsets[0]], place[offsets[1]], int(place[-1]) + 1
    names_I, code_2K = np.unique(np.concatenate(sides), return_inverse=True)
    return code_2K[: len(names_a_K)], code_2K[len(names_a_K) :], len(names_I)


def require_bootstrap(bootstrap: object) -> None:
    if not isinstance(bootstrap, Bootstrap):
        raise ConfigError(f"bootstrap is {bootstrap!r}, expected Bootstrap(resamples=1000) or None")


def two_tails(confidence: float) -> tuple[float, float]:
    """The quantiles between which a share `confidence` lies, with equally much on both sides."""
    return (1 - confidence) / 2, (1 + confidence) / 2


def quantile_interval(figure_R: FloatArray, tails: tuple[float, float]) -> Interval | None:
    """The interval between two quantiles of the resamples. None for an interval of width zero and without resamples."""
    low, high = np.quantile(figure_R, tails) if len(figure_R) else (np.nan, np.nan)
    return (float(low), float(high)) if high - low > _NO_WIDTH else None


def _percentiles(figures_RF: list[Sequence[float]], confidence: float) -> list[Interval | None]:
    return [
        quantile_interval(figure_R[~np.isnan(figure_R)], two_tails(confidence))
        for figure_R in np.array(figures_RF, dtype=np.float64).T
    ]
