"""One person under two labels, and two people under one. Shapes: C classes, P pairs of classes, K nearest classes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facemargin.auditing.planted import Numbers, posterior
from facemargin.auditing.space import Floats, Integers, LabeledSpace

LEAST_GROUP = 3
"""The smallest group of images that can be another person's; fewer are wrong labels one by one."""
_LEAST_SHARE = 0.1
_PARTNERS = 5
_SEED = 20261127
_MOST_PLANTED = 2000
_ROUNDS = 12


@dataclass(frozen=True)
class SplitPairs:
    """Pairs of labels (P, 2) that may be one person, with their probabilities (P,). `cross_P` is the mean cosine of
    images of one to images of the other, `within_P` that of different images of the same label, the mean of both."""

    pairs_P2: Integers
    probability_P: Numbers
    cross_P: Numbers
    within_P: Numbers


@dataclass(frozen=True)
class MergedLabels:
    """Labels that may be two people, with their probabilities, and the images of the smaller and the larger group.
    `cross` and `within` as in `SplitPairs`, of the two groups. `num_judged` labels have enough images."""

    labels: list[int]
    probability: Numbers
    groups: list[tuple[Integers, Integers]]
    cross: list[float]
    within: list[float]
    num_judged: int


def split_pairs(space: LabeledSpace) -> SplitPairs:
    """How alike two labels are is the mean cosine between their images less that within the labels, which is about 0
    for one person's. Planted errors: labels of 4 images or more, cut in two at random."""
    within_C = _within(space)
    partners_CK = space.nearest_classes(space.centers(), np.arange(space.num_classes), _PARTNERS)[1]
    both_X2 = np.sort(np.stack([np.repeat(np.arange(space.num_classes), partners_CK.shape[1]), partners_CK.ravel()], 1))
    pairs_P2 = np.unique(both_X2[(space.counts_C[both_X2] > 0).all(1)], axis=0)
    sums_CD = _plain_sums(space)
    products_P = np.einsum("pd,pd->p", sums_CD[pairs_P2[:, 0]], sums_CD[pairs_P2[:, 1]], dtype=np.float64)
    cross_P = products_P / space.counts_C[pairs_P2].prod(1)
    within_P = within_C[pairs_P2].mean(1)
    alike_P = cross_P - within_P
    # Each label counts once: with its best partner.
    best_C = np.full(space.num_classes, -np.inf)
    for side in (0, 1):
        np.maximum.at(best_C, pairs_P2[:, side], alike_P)
    found = posterior(best_C[np.isfinite(best_C)], np.array([*_planted_splits(space)]), at_K=alike_P)
    return SplitPairs(pairs_P2, found.probability_K, cross_P, within_P)


def _planted_splits(space: LabeledSpace) -> Iterator[float]:
    generator = np.random.default_rng(_SEED)
    for label in generator.permutation(np.flatnonzero(space.counts_C >= 4))[:_MOST_PLANTED]:
        members = generator.permutation(space.members(int(label)))
        yield _apart(space, members[::2], members[1::2])[2]


def merged_labels(space: LabeledSpace) -> MergedLabels:
    """2-means of every label's images; the smaller group has 3 images or more and a tenth of all. How far apart they
    are is the mean cosine within the groups, of the looser one and at most what is usual in the set, less that between
    them. Planted errors: two labels put together."""
    within_C = _within(space)
    usual = float(np.median(within_C[space.counts_C > 1])) if (space.counts_C > 1).any() else 1.0
    judged, groups, figures = [], [], []
    for label in np.flatnonzero(space.counts_C >= 2 * LEAST_GROUP):
        judged.append(int(label))
        groups.append(_two_groups(space, space.members(int(label))))
        figures.append(_farness(space, *groups[-1], usual))
    far = np.array([figure[0] for figure in figures])
    planted = np.array([*_planted_merges(space, judged, usual)])
    return MergedLabels(
        judged,
        posterior(far, planted).probability_K,
        groups,
        [figure[1] for figure in figures],
        [figure[2] for figure in figures],
        len(judged),
    )


def _planted_merges(space: LabeledSpace, judged: list[int], usual: float) -> Iterator[float]:
    """Every second label with the nearest other, every second with any."""
    if len(judged) < 2:
        return
    generator = np.random.default_rng(_SEED)
    chosen = np.sort(generator.permutation(judged)[:_MOST_PLANTED])
    nearest_M = space.nearest_classes(space.centers()[chosen], chosen, 1)[1][:, 0]
    for number, (label, nearest) in enumerate(zip(chosen.tolist(), nearest_M.tolist(), strict=True)):
        other = nearest if number % 2 else int(generator.choice([one for one in judged[:1000] if one != label]))
        if space.counts_C[other] >= LEAST_GROUP:
            together = np.concatenate([space.members(label), space.members(other)])
            yield _farness(space, *_two_groups(space, together), usual)[0]


def _two_groups(space: LabeledSpace, images: Integers) -> tuple[Integers, Integers]:
    """2-means of unit vectors, begun with the two sides of the direction in which they differ most: smaller, larger."""
    vectors_MD = space.vectors_ND[images]
    centered_MD = vectors_MD - vectors_MD.mean(0)
    direction_D = np.linalg.svd(centered_MD, full_matrices=False)[2][0]
    second_M = centered_MD @ direction_D > 0
    for _ in range(_ROUNDS):
        if second_M.all() or not second_M.any():
            break
        centers_2D = np.stack([vectors_MD[~second_M].sum(0), vectors_MD[second_M].sum(0)])
        centers_2D /= np.maximum(np.linalg.norm(centers_2D, axis=1, keepdims=True), 1e-12)
        before_M, second_M = second_M, vectors_MD @ (centers_2D[1] - centers_2D[0]) > 0
        if (before_M == second_M).all():
            break
    groups = sorted([images[~second_M], images[second_M]], key=len)
    return groups[0], groups[1]


def _farness(space: LabeledSpace, smaller: Integers, larger: Integers, usual: float) -> tuple[float, float, float]:
    """(suspicion, mean cosine between, mean cosine within): below all others where the smaller group is too small."""
    if len(smaller) < max(LEAST_GROUP, _LEAST_SHARE * (len(smaller) + len(larger))):
        return -1.0, 1.0, 1.0
    cross, within, _ = _apart(space, smaller, larger)
    return min(within, usual) - cross, cross, within


def _apart(space: LabeledSpace, first: Integers, second: Integers) -> tuple[float, float, float]:
    """The mean cosine between two groups, that within the looser one, and between less within, the mean of both."""
    sums_2D = np.stack([space.vectors_ND[group].sum(0, dtype=np.float64) for group in (first, second)])
    cross = float(sums_2D[0] @ sums_2D[1]) / (len(first) * len(second))
    within = [_mean_of_different(total_D, len(group)) for total_D, group in zip(sums_2D, (first, second), strict=True)]
    return cross, min(within), cross - (within[0] + within[1]) / 2


def _mean_of_different(sum_D: Numbers, number: int) -> float:
    return float((sum_D @ sum_D - number) / (number * (number - 1)))


def _plain_sums(space: LabeledSpace) -> Floats:
    sums_CD = np.zeros_like(space.sums_CD)
    np.add.at(sums_CD, space.labels_N, space.vectors_ND)
    return sums_CD


def _within(space: LabeledSpace) -> Numbers:
    """The mean cosine (C,) of different images of every label; the median of all where it has but one."""
    sums_CD, counts_C = _plain_sums(space).astype(np.float64), space.counts_C
    squares_C = (sums_CD**2).sum(1)
    several_C = counts_C > 1
    within_C = np.full(len(counts_C), np.nan)
    within_C[several_C] = (squares_C - counts_C)[several_C] / (counts_C * (counts_C - 1.0))[several_C]
    within_C[~several_C] = np.median(within_C[several_C]) if several_C.any() else 1.0
    return within_C
