"""What the visits of a recording say of every sample. Shapes: V visits, N samples."""

from dataclasses import dataclass

import numpy as np

from facemargin.auditing.planted import Numbers
from facemargin.auditing.space import Integers
from facemargin.errors import DataError
from facemargin.recording import Recording
from facemargin.recording.columns import NO_CLASS

# The parts of a training in each of which the network's skill is taken as one.
_PARTS = 20
# Of its greatest skill, where a network is taken to begin to learn labels by heart.
_LEARNED = 0.75
# A gap by which an image is clearly its label's.
_CLEAR = 0.1
# How much more it counts that one and the same other centre is nearer: measured in benchmarks/results/audit_logs.md.
_ONE_OTHER = 0.6


@dataclass(frozen=True)
class Weighted:
    """Means over visits, weighted by the network's skill at the time; nan without a visit.

    `own_N` and `other_N`: the cosines to the own and to the nearest other centre. `suspicion_N`: by how much the other
    was nearer, see `nearer`."""

    own_N: Numbers
    other_N: Numbers
    suspicion_N: Numbers


@dataclass(frozen=True)
class Visited:
    """What a recording says of every sample: of all its visits, of the `early` ones, before labels are learned by
    heart, and of the later half of each sample's visits, as plain means: `target_N` and `negative_N`, the cosines to
    the own and to the nearest other centre, and `norm_N`; `class_N`, the nearest other class most often, and
    `stable_N`, in what share of these visits; `visits_N`, how many these are. Without any, the means are nan.

    `suspicion_N` orders the samples: that of all visits, plus .6 of the weighted mean by which one and the same other
    centre, the one for which it is largest, was nearer than the own. A wrong label looks like one other person; a poor
    picture, or one of somebody with a common face, like many in turn."""

    all: Weighted
    early: Weighted
    suspicion_N: Numbers
    target_N: Numbers
    negative_N: Numbers
    norm_N: Numbers
    class_N: Integers
    stable_N: Numbers
    visits_N: Integers


def visited(recording: Recording) -> Visited:
    """What the visits say, without those of which numbers are infinite."""
    number = len(recording.labels)
    sample_V = recording["sample"].astype(np.int64)
    if len(sample_V) and sample_V.max() >= number:
        raise DataError(f"the recording has a visit of sample {sample_V.max()}, but only {number:,} samples")
    target_V, negative_V = (recording[name].astype(np.float64) for name in ("target_cosine", "hardest_negative"))
    class_V = recording["hardest_class"].astype(np.int64)
    known_V = np.isfinite(target_V) & np.isfinite(negative_V) & (class_V != NO_CLASS)
    skill_V = skill((target_V - negative_V)[known_V])
    both = _weighted(sample_V[known_V], target_V[known_V], negative_V[known_V], skill_V, number)
    order_V = np.argsort(sample_V, kind="stable")  # rows are in the order of the steps
    visits_N = np.bincount(sample_V, minlength=number)
    starts_N = np.cumsum(visits_N) - visits_N
    place_V = np.arange(len(order_V)) - np.repeat(starts_N, visits_N)
    later_V = order_V[place_V >= np.repeat(visits_N // 2, visits_N)]
    later_V = later_V[known_V[later_V]]
    later_sample_V = sample_V[later_V]
    count_N = np.bincount(later_sample_V, minlength=number)
    norm_V = np.minimum(recording["feature_norm"].astype(np.float64), np.finfo(np.float16).max)

    def mean(values_V: Numbers) -> Numbers:
        with np.errstate(invalid="ignore"):
            return np.asarray(np.bincount(later_sample_V, values_V[later_V], number) / count_N)

    class_N, times_N = _most_frequent(later_sample_V, class_V[later_V], number)
    with np.errstate(invalid="ignore"):
        stable_N = times_N / count_N
    by_V = np.maximum(0, negative_V - target_V)[known_V]
    one_other_N = _one_other(sample_V[known_V], class_V[known_V], by_V, skill_V, number)
    suspicion_N = both[0].suspicion_N + _ONE_OTHER * one_other_N
    return Visited(*both, suspicion_N, mean(target_V), mean(negative_V), mean(norm_V), class_N, stable_N, count_N)


def _weighted(
    sample_V: Integers, target_V: Numbers, negative_V: Numbers, skill_V: Numbers, number: int
) -> tuple[Weighted, Weighted]:
    """Of all visits, and of the early ones: up to the first part in which the network has three quarters of the
    greatest skill it comes to."""
    gap_V = target_V - negative_V
    part_V = _parts(len(gap_V))
    early = (
        np.searchsorted(part_V, part_V[np.argmax(skill_V >= _LEARNED * skill_V.max())], "right") if len(gap_V) else 0
    )

    def means(until: int) -> Weighted:
        sample, weight = sample_V[:until], skill_V[:until]
        with np.errstate(invalid="ignore"):
            total_N = np.bincount(sample, weight, number)
            values = (target_V[:until], negative_V[:until], nearer(gap_V[:until]))
            return Weighted(*(np.bincount(sample, weight * value, number) / total_N for value in values))

    return means(len(gap_V)), means(int(early))


def _one_other(sample_V: Integers, class_V: Integers, by_V: Numbers, skill_V: Numbers, number: int) -> Numbers:
    """The largest, over the other classes, of the sums of skill · `by_V`, by how much the other was nearer, of the
    visits in which the class was the nearest other, divided by the skill of all visits of the sample; 0 without one."""
    largest_N = np.zeros(number)
    if not len(sample_V):
        return largest_N
    pairs_P2, pair_V = np.unique(np.stack([sample_V, class_V], axis=1), axis=0, return_inverse=True)
    by_P = np.bincount(pair_V.ravel(), skill_V * by_V, len(pairs_P2))
    np.maximum.at(largest_N, pairs_P2[:, 0], by_P)
    total_N = np.bincount(sample_V, skill_V, number)
    return np.asarray(np.divide(largest_N, total_N, out=np.zeros(number), where=total_N > 0))


def _parts(visits: int) -> Integers:
    """Which twentieth of the training each visit (V,) is in, in the order of the steps."""
    return np.arange(visits) * _PARTS // max(visits, 1)


def skill(gap_V: Numbers) -> Numbers:
    """How well the network told people apart around each visit (V,), in the order of the steps: the share of visits
    whose own centre was the nearest, in each twentieth of the training.

    A network that has learned nothing yet says little of an image."""
    part_V = _parts(len(gap_V))
    right = np.bincount(part_V, gap_V > 0, _PARTS)
    return np.asarray(((right + 1) / (np.bincount(part_V, minlength=_PARTS) + 2))[part_V])


def nearer(gap: Numbers) -> Numbers:
    """By how much another centre was nearer than the own, of target cosine less hardest negative cosine; at least −.1:
    how much nearer the own was says little, as a wrong label that is learned later comes near, too."""
    return -np.minimum(gap, _CLEAR)


def _most_frequent(sample_V: Integers, class_V: Integers, number: int) -> tuple[Integers, Integers]:
    """Of every sample the most frequent class, and how often it is there; −1 and 0 without a visit."""
    class_N, times_N = np.full(number, -1, np.int64), np.zeros(number, np.int64)
    if len(sample_V):
        pairs_P2, times_P = np.unique(np.stack([sample_V, class_V], axis=1), axis=0, return_counts=True)
        order_P = np.lexsort((-pairs_P2[:, 1], times_P))  # the last assignment stays: the most, then the lowest class
        class_N[pairs_P2[order_P, 0]] = pairs_P2[order_P, 1]
        times_N[pairs_P2[order_P, 0]] = times_P[order_P]
    return class_N, times_N
