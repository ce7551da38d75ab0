"""One person under two labels. Shapes: C classes, P pairs of classes, K nearest classes, M images of a group."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facemargin.auditing.planted import Numbers
from facemargin.auditing.space import Floats, Integers, LabeledSpace
from facemargin.auditing.tail import tail_posterior

LEAST_CUT = 4
"""The smallest label that is cut in two to learn from: two images are needed in each half."""

_PARTNERS = 5
_SEED = 20261127
_MOST_PLANTED = 2000


@dataclass(frozen=True)
class SplitPairs:
    """Pairs of labels (P, 2) that may be one person, with their probabilities (P,). `cross_P` is the mean cosine of
    images of one to images of the other, `within_P` that of different images of the same label, the mean of both.
    `num_planted` labels were cut in two to learn from; without any, nothing is known and all probabilities are 0."""

    pairs_P2: Integers
    probability_P: Numbers
    cross_P: Numbers
    within_P: Numbers
    num_planted: int


def split_pairs(space: LabeledSpace) -> SplitPairs:
    """How alike two labels of 2 images or more are is the mean cosine between their images less that within the labels,
    which is about 0 for one person's. Less than is usual does not count as within: two labels that both mix many people
    are as alike as each is in itself, and nobody's. Planted errors: labels of 4 images or more, cut in two at random.

    Of a label and its five nearest others, each pair counts, the likely ones and the unlikely: these say how alike
    two people's labels are, whatever share of the people is split."""
    within_C = _within(space)
    several_C = space.counts_C > 1
    usual = float(np.median(within_C[several_C])) if several_C.any() else 1.0
    partners_CK = space.nearest_classes(space.centers(), np.arange(space.num_classes), _PARTNERS)[1]
    both_X2 = np.sort(np.stack([np.repeat(np.arange(space.num_classes), partners_CK.shape[1]), partners_CK.ravel()], 1))
    pairs_P2 = np.unique(both_X2[several_C[both_X2].all(1)], axis=0)
    sums_CD = _plain_sums(space)
    products_P = np.einsum("pd,pd->p", sums_CD[pairs_P2[:, 0]], sums_CD[pairs_P2[:, 1]], dtype=np.float64)
    cross_P = products_P / space.counts_C[pairs_P2].prod(1)
    within_P = within_C[pairs_P2].mean(1)
    planted = np.array([cross - max(within, usual) for cross, within in _planted_splits(space)])
    probability_P = tail_posterior(cross_P - np.maximum(within_P, usual), planted)
    return SplitPairs(pairs_P2, probability_P, cross_P, within_P, len(planted))


def _planted_splits(space: LabeledSpace) -> Iterator[tuple[float, float]]:
    generator = np.random.default_rng(_SEED)
    for label in generator.permutation(np.flatnonzero(space.counts_C >= LEAST_CUT))[:_MOST_PLANTED]:
        members = generator.permutation(space.members(int(label)))
        cross, within = apart(space.vectors_ND[members[::2]], space.vectors_ND[members[1::2]])
        yield cross, sum(within) / 2


def apart(first_MD: Floats, second_MD: Floats) -> tuple[float, tuple[float, float]]:
    """The mean cosine between two groups of vectors, and the two within them, of different vectors."""
    sums_2D = np.stack([group_MD.sum(0, dtype=np.float64) for group_MD in (first_MD, second_MD)])
    cross = float(sums_2D[0] @ sums_2D[1]) / (len(first_MD) * len(second_MD))
    return cross, (mean_of_different(sums_2D[0], len(first_MD)), mean_of_different(sums_2D[1], len(second_MD)))


def mean_of_different(sum_D: Numbers, number: int) -> float:
    """The mean cosine of different vectors of a group, whose sum this is."""
    return float((sum_D @ sum_D - number) / (number * (number - 1)))


def _plain_sums(space: LabeledSpace) -> Floats:
    sums_CD = np.zeros_like(space.sums_CD)
    np.add.at(sums_CD, space.labels_N, space.vectors_ND)
    return sums_CD


def _within(space: LabeledSpace) -> Numbers:
    """The mean cosine (C,) of different images of every label; nan where it has but one."""
    sums_CD, counts_C = _plain_sums(space).astype(np.float64), space.counts_C
    squares_C = (sums_CD**2).sum(1)
    several_C = counts_C > 1
    within_C = np.full(len(counts_C), np.nan)
    within_C[several_C] = (squares_C - counts_C)[several_C] / (counts_C * (counts_C - 1.0))[several_C]
    return within_C
