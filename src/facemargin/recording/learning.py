"""How a set was learned, from its recording. Shapes: V visits, N samples, S intervals of steps, Q bands, P pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.recording.columns import NO_CLASS
from facemargin.recording.reader import Recording

FloatArray = NDArray[np.float64]

NEEDED = ("sample", "step", "feature_norm", "target_cosine", "hardest_negative", "hardest_class")


@dataclass(frozen=True)
class Entangled:
    """Two people whose images are near each other's center: `share` of the visits of `person` had `other` as the
    nearest of the others' centers, and `back` the other way round; `nearer` of them were nearer to it than to their
    own."""

    person: str
    other: str
    share: float
    back: float
    nearer: float


@dataclass(frozen=True)
class Learning:
    """`step_S`, the middle of every interval of steps, and `cosine_QS`, the mean cosine to the own center of the images
    of each band of quality in it, the poorest first (NaN: no visit). A sample's quality is its mean feature norm over
    its later visits.

    Of every sample, over the later half of the steps: `norm_N` and `cosine_N`, the means of its feature norm and target
    cosine, and `gap_N`, how much nearer its own center was than the nearest other; NaN without a visit. `entangled`:
    the pairs of people who are nearest to each other, the most first. `not_finite`: visits left out.
    `kind_N`: what an audit found of every sample, or ""; None without an audit."""

    step_S: FloatArray
    cosine_QS: FloatArray
    norm_N: FloatArray
    cosine_N: FloatArray
    gap_N: FloatArray
    entangled: list[Entangled]
    not_finite: int
    kind_N: NDArray[np.str_] | None = None


def learning(recording: Recording, bands: int = 4, intervals: int = 40, pairs: int = 10) -> Learning:
    """How the set of `recording` was learned, by `bands` of quality in `intervals` of steps, and the `pairs` of people
    that are most entangled."""
    columns = {name: recording[name] for name in NEEDED}
    numbers = ("feature_norm", "target_cosine", "hardest_negative")
    # without negatives the hardest is -inf: then there is nothing to tell apart, but the cosine counts
    finite_V = np.isfinite(columns["feature_norm"]) & np.isfinite(columns["target_cosine"])
    columns = {name: values[finite_V] for name, values in columns.items()}
    sample_V, step_V = columns["sample"].astype(np.int64), columns["step"].astype(np.int64)
    norm_V, cosine_V, negative_V = (columns[name].astype(np.float64) for name in numbers)
    samples = len(recording.labels)
    first, last = (int(step_V.min()), int(step_V.max())) if len(step_V) else (0, 0)
    late_V = step_V >= (first + last + 1) // 2

    def mean_of_samples(values_V: FloatArray) -> FloatArray:
        count_N = np.bincount(sample_V[late_V], minlength=samples)
        total_N = np.bincount(sample_V[late_V], weights=values_V[late_V], minlength=samples)
        return np.where(count_N > 0, total_N / count_N.clip(min=1), np.nan)

    norm_N, cosine_N = mean_of_samples(norm_V), mean_of_samples(cosine_V)
    with np.errstate(invalid="ignore"):
        gap_N = mean_of_samples(cosine_V - negative_V)
    gap_N[~np.isfinite(gap_N)] = np.nan
    edges = np.linspace(first, last + 1, min(intervals, last - first + 1) + 1)
    interval_V = (np.searchsorted(edges, step_V, side="right") - 1).clip(0, len(edges) - 2)
    band_N = _bands(norm_N, bands)
    cell_V = band_N[sample_V] * (len(edges) - 1) + interval_V
    known_V = band_N[sample_V] >= 0
    size = bands * (len(edges) - 1)
    count_C = np.bincount(cell_V[known_V], minlength=size)
    total_C = np.bincount(cell_V[known_V], weights=cosine_V[known_V], minlength=size)
    cosine_QS = np.where(count_C > 0, total_C / count_C.clip(min=1), np.nan).reshape(bands, -1)
    hardest_V = columns["hardest_class"].astype(np.int64)
    told_V = late_V & (hardest_V != NO_CLASS)
    return Learning(
        step_S=(edges[:-1] + edges[1:] - 1) / 2,
        cosine_QS=cosine_QS,
        norm_N=norm_N,
        cosine_N=cosine_N,
        gap_N=gap_N,
        entangled=_entangled(
            recording.labels[sample_V[told_V]],
            hardest_V[told_V],
            negative_V[told_V] > cosine_V[told_V],
            recording.identity_names,
            pairs,
        ),
        not_finite=int((~finite_V).sum()),
    )


def _bands(quality_N: FloatArray, bands: int) -> NDArray[np.int64]:
    """The band of every sample, of equal sizes, 0 the poorest; -1 without a quality."""
    known_N = np.isfinite(quality_N)
    band_N = np.full(len(quality_N), -1)
    order = np.argsort(quality_N[known_N], kind="stable")
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    band_N[known_N] = ranks * bands // max(len(order), 1)
    return band_N


def _entangled(
    label_V: NDArray[np.int64],
    hardest_V: NDArray[np.int64],
    nearer_V: NDArray[np.bool_],
    names: list[str],
    pairs: int,
) -> list[Entangled]:
    """The pairs (a, b) of the largest min(P(b | a), P(a | b)): of a's visits the share that has b as the hardest."""
    if not len(label_V):
        return []
    classes = len(names)
    visits_C = np.bincount(label_V, minlength=classes)
    pair_P, place_V, count_P = np.unique(label_V * classes + hardest_V, return_inverse=True, return_counts=True)
    nearer_P = np.bincount(place_V, weights=nearer_V)
    a_P, b_P = pair_P // classes, pair_P % classes
    share_P = count_P / visits_C[a_P]
    other_P = np.searchsorted(pair_P, b_P * classes + a_P).clip(max=len(pair_P) - 1)
    back_P = np.where(pair_P[other_P] == b_P * classes + a_P, share_P[other_P], 0.0)
    mutual_P = np.minimum(share_P, back_P)
    # each pair once, and only those that are near each other both ways
    chosen = [int(p) for p in np.argsort(-mutual_P, kind="stable") if a_P[p] < b_P[p] and mutual_P[p] > 0][:pairs]
    return [
        Entangled(
            names[a_P[p]],
            names[b_P[p]],
            float(share_P[p]),
            float(back_P[p]),
            float((nearer_P[p] + nearer_P[other_P[p]]) / (count_P[p] + count_P[other_P[p]])),
        )
        for p in chosen
    ]
