"""Draws verification pairs from labelled images by LFW's rules (Huang et al., "Labeled Faces in the Wild", 2007).

The people of a fold are in no other fold. For a genuine pair, a person with at least two images is drawn uniformly, and
then two of their images. For an impostor pair, two people are drawn, and one image of each. No pair is drawn twice.
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
    """The images of each pair, whether they show the same person, and the fold (None without folds). The genuine pairs
    of each fold come first."""

    first_K: IntArray
    second_K: IntArray
    same_K: NDArray[np.bool_]
    folds_K: IntArray | None


def draw_pairs(labels_N: IntArray, num_pairs: int, num_folds: int, seed: int) -> DrawnPairs:
    """Draw `num_pairs` pairs of the images with identity numbers `labels_N`, half of them genuine in every fold. The
    result depends on `seed` only.

    Raises ConfigError unless `num_pairs` is a multiple of 2 · `num_folds`, and DataError if there are too few people or
    images (the message says how many there are).
    """
    if num_folds < 1 or num_pairs < 1 or num_pairs % (2 * num_folds):
        raise ConfigError(
            f"{counted(num_pairs, 'pair')} in {counted(num_folds, 'fold')}: expected at least one fold and a "
            f"multiple of {max(2 * num_folds, 2)} pairs, because every fold has as many genuine as impostor pairs"
        )
    return draw_counted_pairs(labels_N, num_pairs // 2, num_pairs // 2, num_folds, seed)


def draw_counted_pairs(labels_N: IntArray, genuine: int, impostor: int, num_folds: int, seed: int) -> DrawnPairs:
    """As `draw_pairs`, with the given numbers of genuine and impostor pairs. Raises ConfigError unless both are
    multiples of `num_folds`."""
    if num_folds < 1 or min(genuine, impostor) < 1 or genuine % num_folds or impostor % num_folds:
        raise ConfigError(
            f"{genuine} genuine and {impostor} impostor pairs in {num_folds} folds: expected at least one fold, "
            "and for each kind a multiple of the number of folds"
        )
    people = _images_by_person(labels_N)
    folds = _deal(people, num_folds, sample_generator(seed, 0, 0, Purpose.PAIRS))
    each = genuine // num_folds, impostor // num_folds
    _require_enough(folds, each, len(people))
    first, second = [], []
    for number, fold in enumerate(folds):
        generator = sample_generator(seed, 1, number, Purpose.PAIRS)
        for pairs in (_genuine(fold, each[0], generator), _impostor(fold, each[1], generator)):
            first += [first_image for first_image, _ in pairs]
            second += [other for _, other in pairs]
    return DrawnPairs(
        first_K=np.array(first, dtype=np.int64),
        second_K=np.array(second, dtype=np.int64),
        same_K=np.tile(np.repeat([True, False], each), num_folds),
        folds_K=np.repeat(np.arange(num_folds, dtype=np.int64), sum(each)),
    )


def count_pairs(labels_N: IntArray) -> tuple[int, int]:
    """The numbers of all possible genuine and impostor pairs of the images."""
    genuine = int(_triangle(np.bincount(labels_N)).sum()) if len(labels_N) else 0
    return genuine, int(_triangle(len(labels_N))) - genuine


def all_pairs(labels_N: IntArray) -> DrawnPairs:
    """Every pair of images once, genuine pairs first, without folds. Each pair needs about 50 bytes."""
    first_K, second_K = np.triu_indices(len(labels_N), 1)
    same_K = labels_N[first_K] == labels_N[second_K]
    order = np.argsort(~same_K, kind="stable")
    return DrawnPairs(first_K[order], second_K[order], same_K[order], None)


def at_most(labels_N: IntArray, most: int, seed: int) -> DrawnPairs:
    """Every pair, if there are at most `most`. Otherwise `most` pairs, drawn as in `draw_counted_pairs`: at most half
    of them are genuine (all genuine pairs, if there are fewer), the rest impostor pairs."""
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
    """The people of each fold. They are sorted by their number of images and dealt to the folds back and forth, so that
    folds are similar."""
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
            f"{people} too few for {counted(sum(each) * len(folds), 'pair')} in {counted(len(folds), 'fold')} "
            f"without common people: a fold has {genuine} possible genuine and {impostor} impostor pairs, but "
            f"{wanted} needed. Draw at most {2 * min(genuine, impostor) * len(folds)} pairs, half of them "
            f"genuine; or use {'fewer folds, or ' if len(folds) > 1 else ''}images of more people, or other "
            "numbers of --genuine and --impostors, or --all for all possible pairs"
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
        larger, smaller = _from_triangle(groups)
        return count_P[larger] * count_P[smaller]

    pairs = []
    for group, count in _spread(needed, int(_triangle(len(fold))), capacity, generator):
        (larger,), (smaller,) = _from_triangle(np.array([group]))
        chosen = generator.choice(len(fold[larger]) * len(fold[smaller]), count, replace=False)
        first, second = np.divmod(chosen, len(fold[smaller]))
        pairs += list(zip(fold[larger][first].tolist(), fold[smaller][second].tolist(), strict=True))
    return pairs


def _spread(
    needed: int, num_groups: int, capacity: Callable[[IntArray], IntArray], generator: Generator
) -> list[tuple[int, int]]:
    """Yields (group, number of pairs to draw from it), `needed` pairs in total. Groups are drawn uniformly; a group
    that is full is drawn again.

    Full groups are removed beforehand if they could be the majority. Otherwise there are many more groups than pairs,
    and listing all groups would take too much memory.
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
    """The number of pairs of n things."""
    return np.asarray(n, dtype=np.int64) * (np.asarray(n, dtype=np.int64) - 1) // 2


def _from_triangle(rank_G: IntArray) -> tuple[IntArray, IntArray]:
    """The (larger, smaller) number of the pair at each position of the order (1, 0), (2, 0), (2, 1), (3, 0), …"""
    larger = ((1 + np.sqrt(1 + 8 * rank_G.astype(np.float64))) / 2).astype(np.int64)
    larger -= _triangle(larger) > rank_G
    larger += _triangle(larger + 1) <= rank_G
    return larger, rank_G - _triangle(larger)
