"""Draws verification pairs from labelled images by LFW's rules (Huang et al., "Labeled Faces in the Wild", 2007).

The people of a fold are in no other fold. A genuine pair is a person, drawn uniformly among those with two images or
more, and two of their images; an impostor pair is two people and an image of each. No pair is drawn twice.
Shapes: N images, K pairs, G groups that pairs are drawn from.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.randomness import Purpose, sample_generator

IntArray = NDArray[np.int64]

_OPEN_GROUPS = 4


class DrawnPairs(NamedTuple):
    """Images of each pair, whether they show one person, and the fold, None where there are none; each fold's genuine
    pairs come first."""

    first_K: IntArray
    second_K: IntArray
    same_K: NDArray[np.bool_]
    folds_K: IntArray | None


def draw_pairs(labels_N: IntArray, num_pairs: int, num_folds: int, seed: int) -> DrawnPairs:
    """`num_pairs` pairs of the images with identity numbers `labels_N`, as many genuine as impostor in every fold; a
    function of `seed`.

    Raises ConfigError unless `num_pairs` is a multiple of 2 · `num_folds`, DataError saying what is there where people
    or images are too few.
    """
    if num_folds < 1 or num_pairs < 1 or num_pairs % (2 * num_folds):
        raise ConfigError(
            f"{counted(num_pairs, 'pair')} in {counted(num_folds, 'fold')}: expected at least one fold and a multiple "
            f"of {max(2 * num_folds, 2)} pairs, as many genuine as impostor pairs in every fold"
        )
    return draw_counted_pairs(labels_N, num_pairs // 2, num_pairs // 2, num_folds, seed)


def draw_counted_pairs(labels_N: IntArray, genuine: int, impostor: int, num_folds: int, seed: int) -> DrawnPairs:
    """As `draw_pairs`, but so many genuine and so many impostor pairs. Raises ConfigError unless both are multiples of
    `num_folds`."""
    if num_folds < 1 or min(genuine, impostor) < 1 or genuine % num_folds or impostor % num_folds:
        raise ConfigError(
            f"{genuine} genuine and {impostor} impostor pairs in {num_folds} folds: expected at least one fold and of "
            "each kind a multiple of the folds"
        )
    people = _images_by_person(labels_N)
    folds = _deal(people, num_folds, sample_generator(seed, 0, 0, Purpose.PAIRS))
    each = genuine // num_folds, impostor // num_folds
    _require_enough(folds, each, len(people))
    first, second = [], []
    for number, fold in enumerate(folds):
        generator = sample_generator(seed, 1, number, Purpose.PAIRS)
        for pairs in (_genuine(fold, each[0], generator), _impostor(fold, each[1], generator)):
            first += [one for one, _ in pairs]
            second += [other for _, other in pairs]
    return DrawnPairs(
        first_K=np.array(first, dtype=np.int64),
        second_K=np.array(second, dtype=np.int64),
        same_K=np.tile(np.repeat([True, False], each), num_folds),
        folds_K=np.repeat(np.arange(num_folds, dtype=np.int64), sum(each)),
    )


def count_pairs(labels_N: IntArray) -> tuple[int, int]:
    """All genuine and all impostor pairs that there are among the images."""
    genuine = int(_triangle(np.bincount(labels_N)).sum()) if len(labels_N) else 0
    return genuine, int(_triangle(len(labels_N))) - genuine


def all_pairs(labels_N: IntArray) -> DrawnPairs:
    """Every pair of images once, the genuine ones first, without folds; each needs some 50 bytes."""
    first_K, second_K = np.triu_indices(len(labels_N), 1)
    same_K = labels_N[first_K] == labels_N[second_K]
    order = np.argsort(~same_K, kind="stable")
    return DrawnPairs(first_K[order], second_K[order], same_K[order], None)


def at_most(labels_N: IntArray, most: int, seed: int) -> DrawnPairs:
    """Every pair, or where they are more than `most`, half of those genuine at most (all, where there are not so many)
    and impostor pairs for the rest, drawn as `draw_counted_pairs` draws them."""
    genuine, impostor = count_pairs(labels_N)
    if genuine + impostor <= most:
        return all_pairs(labels_N)
    taken = min(genuine, most // 2)
    return draw_counted_pairs(labels_N, taken, min(impostor, most - taken), 1, seed)._replace(folds_K=None)


def _images_by_person(labels_N: IntArray) -> list[IntArray]:
    order = np.argsort(labels_N, kind="stable")
    bounds = np.flatnonzero(np.diff(labels_N[order])) + 1
    return np.split(order, bounds) if len(order) else []


def _deal(people: list[IntArray], num_folds: int, generator: Generator) -> list[list[IntArray]]:
    """The people of each fold: dealt out to and fro by their number of images, so that folds are alike."""
    shuffled = [people[number] for number in generator.permutation(len(people))]
    shuffled.sort(key=len, reverse=True)
    folds: list[list[IntArray]] = [[] for _ in range(num_folds)]
    for place, images in enumerate(shuffled):
        turn, fold = divmod(place, num_folds)
        folds[num_folds - 1 - fold if turn % 2 else fold].append(images)
    return folds


def _require_enough(folds: list[list[IntArray]], each: tuple[int, int], num_people: int) -> None:
    counts = [np.array([len(images) for images in fold], dtype=np.int64) for fold in folds]
    genuine = min(int(_triangle(count).sum()) for count in counts)
    impostor = min(int(count.sum() ** 2 - (count**2).sum()) // 2 for count in counts)
    if genuine < each[0] or impostor < each[1]:
        wanted = f"{each[0]} of each are" if each[0] == each[1] else f"{each[0]} and {each[1]} are"
        people = f"{counted(num_people, 'person', 'people')} {'is' if num_people == 1 else 'are'}"
        raise DataError(
            f"{people} too few for {counted(sum(each) * len(folds), 'pair')} in {counted(len(folds), 'fold')} without "
            f"a person in common: a fold has {genuine} genuine and {impostor} impostor pairs, {wanted} wanted. At most "
            f"{2 * min(genuine, impostor) * len(folds)} pairs, half of them genuine, can be made; or take "
            f"{'fewer folds, or ' if len(folds) > 1 else ''}images of more people, or other numbers of --genuine and "
            "--impostors, or --all pairs that there are"
        )


def _genuine(fold: list[IntArray], needed: int, generator: Generator) -> list[tuple[int, int]]:
    people = [images for images in fold if len(images) > 1]
    capacity_G = _triangle(np.array([len(images) for images in people], dtype=np.int64))
    pairs = []
    for group, count in _spread(needed, len(people), lambda groups: capacity_G[groups], generator):
        images = people[group]
        second, first = _from_triangle(generator.choice(int(capacity_G[group]), count, replace=False))
        pairs += list(zip(images[first].tolist(), images[second].tolist(), strict=True))
    return pairs


def _impostor(fold: list[IntArray], needed: int, generator: Generator) -> list[tuple[int, int]]:
    count_P = np.array([len(images) for images in fold], dtype=np.int64)

    def capacity(groups: IntArray) -> IntArray:
        one, other = _from_triangle(groups)
        return count_P[one] * count_P[other]

    pairs = []
    for group, count in _spread(needed, int(_triangle(len(fold))), capacity, generator):
        (one,), (other,) = _from_triangle(np.array([group]))
        chosen = generator.choice(len(fold[one]) * len(fold[other]), count, replace=False)
        first, second = np.divmod(chosen, len(fold[other]))
        pairs += list(zip(fold[one][first].tolist(), fold[other][second].tolist(), strict=True))
    return pairs


def _spread(
    needed: int, num_groups: int, capacity: Callable[[IntArray], IntArray], generator: Generator
) -> list[tuple[int, int]]:
    """(group, pairs to draw from it), `needed` in all: groups are drawn uniformly, and drawn again once they are full.

    Full groups are left out where they could be most; elsewhere there are so many more groups than pairs that listing
    them all would take the memory.
    """
    count_of: dict[int, int] = {}
    remaining = needed
    while remaining:
        if num_groups <= _OPEN_GROUPS * needed:
            all_G = np.arange(num_groups)
            taken_G = np.array([count_of.get(group, 0) for group in range(num_groups)])
            open_groups = all_G[taken_G < capacity(all_G)]
            drawn = open_groups[generator.integers(len(open_groups), size=remaining)]
        else:
            drawn = generator.integers(num_groups, size=remaining)
        groups, wanted = np.unique(drawn, return_counts=True)
        for group, want, most in zip(groups.tolist(), wanted.tolist(), capacity(groups).tolist(), strict=True):
            before = count_of.get(group, 0)
            count_of[group] = min(before + want, most)
            remaining -= count_of[group] - before
    return [(group, count) for group, count in sorted(count_of.items()) if count]


def _triangle(n: IntArray | int) -> IntArray:
    """The number of pairs among n."""
    return np.asarray(n, dtype=np.int64) * (np.asarray(n, dtype=np.int64) - 1) // 2


def _from_triangle(rank_G: IntArray) -> tuple[IntArray, IntArray]:
    """(larger, smaller) of the pair at each rank in the order (1, 0), (2, 0), (2, 1), (3, 0), …"""
    larger = ((1 + np.sqrt(1 + 8 * rank_G.astype(np.float64))) / 2).astype(np.int64)
    larger -= _triangle(larger) > rank_G
    larger += _triangle(larger + 1) <= rank_G
    return larger, rank_G - _triangle(larger)
