"""Two people under one label. Shapes: N images, C classes, M images of a class, D embedding size."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.people import apart, mean_of_different
from facemargin.auditing.planted import Numbers, posterior
from facemargin.auditing.space import Floats, Integers, LabeledSpace, whitenings

LEAST_GROUP = 3
"""The smallest group of images that can be another person's; fewer are wrong labels one by one."""

_LEAST_SHARE = 0.1
_SEED = 20261127
_MOST_PLANTED = 2000
_ROUNDS = 12
# Labels are whitened by what the other three quarters of them say, if there are so many.
_FOLDS, _LEAST_LABELS = 4, 4
# Of so many planted labels one is put together with any other, the others with the nearest, which are hard to see.
_ANY = 4


@dataclass(frozen=True)
class MergedLabels:
    """Labels that may be two people, with their probabilities, and the images of the smaller and the larger group.
    `cross` is the mean cosine between images of the two groups, `within` that of different images of the looser one.
    `num_judged` labels have enough images."""

    labels: list[int]
    probability: Numbers
    groups: list[tuple[Integers, Integers]]
    cross: list[float]
    within: list[float]
    num_judged: int


class _Apart(NamedTuple):
    """`cross` and `within` as above; a smaller group that is too small says nothing."""

    cross: float
    within: float
    is_enough: bool


def merged_labels(space: LabeledSpace, vectors_ND: Floats) -> MergedLabels:
    """2-means of every label's images; the smaller group has 3 images or more and a tenth of all. How far apart they
    are is the mean cosine within the groups, of the looser one and at most what is usual in the set, less that between
    them. Planted errors: two labels put together.

    `vectors_ND` are the embeddings as they are. They are whitened by what is known of the people of other labels: by
    its own whitening a label of two people would look like one, as the difference between the two would count as one
    within a person, which it does for no planted one."""
    judged = np.flatnonzero(space.counts_C >= 2 * LEAST_GROUP)
    generator = np.random.default_rng(_SEED)
    folds = min(_FOLDS, len(judged) // _LEAST_LABELS) if len(judged) >= 2 * _LEAST_LABELS else 1
    fold_C = generator.permutation(np.arange(space.num_classes) % folds)
    chosen = set(generator.permutation(judged)[:_MOST_PLANTED].tolist())
    found: dict[int, tuple[_Apart, tuple[Integers, Integers]]] = {}
    planted: list[_Apart] = []
    within: list[float] = []
    for fold, whitening in enumerate(whitenings(vectors_ND, space.labels_N, fold_C, folds)):
        of_fold = np.flatnonzero((fold_C == fold) & (space.counts_C > 0)).tolist()
        members = {label: whitening.transformed(vectors_ND[space.members(label)]) for label in of_fold}
        within += [mean_of_different(_sum(one), len(one)) for one in members.values() if len(one) > 1]
        large = [label for label in members if space.counts_C[label] >= 2 * LEAST_GROUP]
        for label in large:
            second_M = _second(members[label])
            images = space.members(label)
            groups = sorted([images[~second_M], images[second_M]], key=len)
            found[label] = _apart(members[label], second_M), (groups[0], groups[1])
        planted += _planted(members, large, chosen, generator)
    usual = float(np.median(within)) if within else 1.0
    labels = sorted(found)
    likely = posterior(_farness([found[one][0] for one in labels], usual), _farness(planted, usual)).probability_N
    return MergedLabels(
        labels,
        np.where([found[one][0].is_enough for one in labels], likely, 0.0),
        [found[one][1] for one in labels],
        [found[one][0].cross for one in labels],
        [found[one][0].within for one in labels],
        len(labels),
    )


def _planted(
    members: dict[int, Floats], large: list[int], chosen: set[int], generator: np.random.Generator
) -> list[_Apart]:
    """Labels of one fold, each together with the nearest other, or with any."""
    if len(large) < 2:
        return []
    centers_CD = np.stack([_sum(members[label]) for label in large])
    centers_CD /= np.maximum(np.linalg.norm(centers_CD, axis=1, keepdims=True), 1e-12)
    made = []
    for place, label in enumerate(large):
        if label not in chosen:
            continue
        cosine_C = centers_CD @ centers_CD[place]
        cosine_C[place] = -np.inf
        drawn = (place + int(generator.integers(1, len(large)))) % len(large)
        other = large[drawn if place % _ANY == 0 else int(cosine_C.argmax())]
        together_MD = np.concatenate([members[label], members[other]])
        made.append(_apart(together_MD, _second(together_MD)))
    return made


def _second(vectors_MD: Floats) -> NDArray[np.bool_]:
    """2-means of unit vectors, begun with the two sides of the direction in which they differ most: which (M,) are in
    the second group."""
    centered_MD = vectors_MD - vectors_MD.mean(0)
    direction_D = np.linalg.svd(centered_MD, full_matrices=False)[2][0]
    second_M = np.asarray(centered_MD @ direction_D > 0)
    for _ in range(_ROUNDS):
        if second_M.all() or not second_M.any():
            break
        centers_2D = np.stack([vectors_MD[~second_M].sum(0), vectors_MD[second_M].sum(0)])
        centers_2D /= np.maximum(np.linalg.norm(centers_2D, axis=1, keepdims=True), 1e-12)
        before_M, second_M = second_M, vectors_MD @ (centers_2D[1] - centers_2D[0]) > 0
        if (before_M == second_M).all():
            break
    return second_M


def _apart(vectors_MD: Floats, second_M: NDArray[np.bool_]) -> _Apart:
    smaller = min(int(second_M.sum()), int((~second_M).sum()))
    if smaller < max(LEAST_GROUP, _LEAST_SHARE * len(second_M)):
        return _Apart(1.0, 1.0, False)
    cross, within = apart(vectors_MD[~second_M], vectors_MD[second_M])
    return _Apart(cross, min(within), True)


def _farness(found: Sequence[_Apart], usual: float) -> Numbers:
    """The suspicions: below all others where a group is too small."""
    return np.array([min(one.within, usual) - one.cross if one.is_enough else -1.0 for one in found], np.float64)


def _sum(vectors_MD: Floats) -> Numbers:
    return np.asarray(vectors_MD.sum(0, dtype=np.float64))
