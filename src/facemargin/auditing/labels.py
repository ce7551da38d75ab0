"""How well every image fits its own label and the best of the others. Shapes: N images, K nearest other classes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.planted import Numbers, Posterior, posterior
from facemargin.auditing.space import Floats, Integers, LabeledSpace, blocks

_CLASSES = 8
_PICTURES = 3
_SEED = 20261127

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fits:
    """`own_N`: how well an image fits its own label, `other_N` the best other one, `other_class_N`; `other_image_N` is
    the image of it that is most like it. A fit is the cosine to the centre of the class, without the image itself, plus
    the mean cosine to its three most similar pictures. `next_N`: the fit of the second best other label, `any_N` that
    of another label drawn at random. `own_N` is nan where the label has no other image, `any_N` where it has none."""

    own_N: Floats
    other_N: Floats
    other_class_N: Integers
    other_image_N: Integers
    next_N: Floats
    any_N: Floats


def fits(space: LabeledSpace, linked: NDArray[np.int64] | None = None, progress: Progress | None = None) -> Fits:
    """The fits of all images. `linked` (P, 2): pairs of labels of one person, none of which is the other's "other"."""
    number, labels_N = len(space), space.labels_N
    center_NK, class_NK = space.nearest_classes(space.vectors_ND, labels_N, _CLASSES)
    any_N = (labels_N + np.random.default_rng(_SEED).integers(1, space.num_classes, number)) % space.num_classes
    centers_CD, any_cosine_N = space.centers(), np.empty(number, np.float32)
    for rows in blocks(number):
        any_cosine_N[rows] = (space.vectors_ND[rows] * centers_CD[any_N[rows]]).sum(1)
    wanted_NX = np.column_stack([labels_N, class_NK, any_N])
    fit_NX = np.column_stack([space.own_similarity(), center_NK, any_cosine_N])
    picture_NX = np.empty(wanted_NX.shape, np.int64)
    order = np.argsort(wanted_NX, axis=None, kind="stable")
    bounds = np.searchsorted(wanted_NX.ravel()[order], np.arange(space.num_classes + 1))
    for label in range(space.num_classes):
        cells = order[bounds[label] : bounds[label + 1]]
        mean_B, nearest_B = space.nearest_pictures(label, cells // wanted_NX.shape[1], _PICTURES)
        fit_NX.ravel()[cells] += mean_B
        picture_NX.ravel()[cells] = nearest_B
        if progress is not None:
            progress(label + 1, space.num_classes)
    own_N, fit_NK = fit_NX[:, 0], np.nan_to_num(fit_NX[:, 1:-1], nan=-2.0)
    if linked is not None and len(linked):
        fit_NK[_is_linked(labels_N, class_NK, linked, space.num_classes)] = -2.0
    best_N = fit_NK.argmax(1)
    rows_N = np.arange(number)
    other_N = fit_NK[rows_N, best_N].copy()
    fit_NK[rows_N, best_N] = -2.0
    return Fits(
        own_N, other_N, class_NK[rows_N, best_N], picture_NX[:, 1:-1][rows_N, best_N], fit_NK.max(1), fit_NX[:, -1]
    )  # fmt: skip


def _is_linked(labels_N: Integers, class_NK: Integers, linked_P2: Integers, num_classes: int) -> NDArray[np.bool_]:
    both = np.concatenate([linked_P2, linked_P2[:, ::-1]])
    pair_NK, linked_P = labels_N[:, None] * num_classes + class_NK, both[:, 0] * num_classes + both[:, 1]
    found: NDArray[np.bool_] = np.isin(pair_NK, linked_P)
    return found


def suspicion(own_N: Numbers | Floats, other_N: Numbers | Floats, weights_N: Floats) -> Numbers:
    """√(norm / mean norm) · (fit of the best other label − fit of the own): above 0, another label fits better. Of a
    picture with a small norm, a difference says less."""
    return np.sqrt(weights_N.astype(np.float64)) * (other_N.astype(np.float64) - own_N)


def mislabelled(found: Fits, weights_N: Floats) -> tuple[Posterior, Numbers]:
    """The probability (N,) that a label is wrong, and the suspicions (N,). 0 for the only image of a label.

    Planted errors: images that fit their own label best are given the other label that they fit best, which is the
    hardest error to see; and, as often, their label is taken away and they are given any other: strangers."""
    known_N = np.isfinite(found.own_N)
    suspicion_N = suspicion(np.nan_to_num(found.own_N), found.other_N, weights_N)
    good_N = known_N & (suspicion_N < 0)
    swapped_M = suspicion(found.other_N, np.maximum(found.own_N, found.next_N), weights_N)[good_N]
    is_best_N = found.any_N >= found.other_N
    strange_N = suspicion(found.any_N, np.where(is_best_N, found.next_N, found.other_N), weights_N)
    strange_M = strange_N[good_N & np.isfinite(strange_N)]
    probability_N = np.zeros(len(known_N))
    inner = posterior(suspicion_N[known_N], np.concatenate([swapped_M, strange_M]))
    probability_N[known_N] = inner.probability_N
    return Posterior(probability_N, inner.share * known_N.mean()), suspicion_N
