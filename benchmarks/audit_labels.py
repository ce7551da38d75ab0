"""How well an audit of embeddings finds wrong labels, split and merged people, beside simpler measures.

Claim: the audit's suspicion has a higher average precision than the plain leave-one-out margin (cosine to the own mean
less the best other mean) for labels swapped at 1 to 20 %, uniformly and to the nearest class, wherever that margin
leaves anything to find.

Labels are swapped in sets that have errors of their own, which count as false alarms here. Every class has the same
number of images. `python benchmarks/audit_labels.py SET.npz … [--seeds 3]`, each .npz with `vectors` (N, D) of unit
length, `norms` (N,) and `labels` (N,), such as SFace's, and, where known, `same` (P, 2), labels
that are one person. Columns for other peers (cleanlab, AUM, sub-centres) are functions in `PEERS`. `--bands`: instead,
whether the scores of split and merged labels are probabilities, on seeds of their own.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import torch
from measure import machine
from numpy.typing import NDArray

from facemargin.auditing.embedded import LISTED_LABELS
from facemargin.auditing.labels import fits, mislabelled
from facemargin.auditing.merged import merged_labels
from facemargin.auditing.people import split_pairs
from facemargin.auditing.space import LabeledSpace

Array = NDArray[np.float32]
RATES = (0.01, 0.05, 0.1, 0.2)
NEIGHBORS = 10
BANDS = (0.0, 0.02, 0.1, 0.3, 0.5, 0.8, 1.01)
HELD_OUT = 1000
NONE = np.empty((0, 2), np.int64)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--bands", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{machine()}; means over {arguments.seeds} seeds\n")
    for path in arguments.sets:
        vectors_ND, norms_N, labels_N = read(path)
        print(f"## {path.stem}: {len(vectors_ND):,} images of {labels_N.max() + 1} people\n")
        if arguments.bands:
            bands(vectors_ND, norms_N, labels_N, same_pairs(path), arguments.seeds)
            continue
        print("Average precision / recall at the true count.\n")
        print("| swapped | " + " | ".join([*PEERS, "listed", "precision of the listed", "estimated"]) + " |")
        print("|---|" + "---|" * (len(PEERS) + 3))
        for how in ("uniformly", "to the nearest"):
            for rate in RATES:
                print(row(vectors_ND, norms_N, labels_N, how, rate, arguments.seeds), flush=True)
        print()
        people(vectors_ND, norms_N, labels_N, arguments.seeds)


def read(path: Path) -> tuple[Array, Array, NDArray[np.int64]]:
    with np.load(path) as arrays:
        labels_N = np.unique(arrays["labels"], return_inverse=True)[1].astype(np.int64)
        return arrays["vectors"].astype(np.float32), arrays["norms"].astype(np.float32), labels_N


def same_pairs(path: Path) -> NDArray[np.int64]:
    """The pairs of labels that are known to be one person, as `read` numbers them."""
    with np.load(path) as arrays:
        if "same" not in arrays:
            return NONE
        return np.searchsorted(np.unique(arrays["labels"]), np.sort(arrays["same"], axis=1))


def row(vectors_ND: Array, norms_N: Array, labels_N: NDArray[np.int64], how: str, rate: float, seeds: int) -> str:
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in PEERS}
    listed = []
    for seed in range(seeds):
        swapped_N, wrong_N = swap(vectors_ND, labels_N, rate, how, seed)
        for name, peer in PEERS.items():
            figures[name].append(measure(peer(vectors_ND, norms_N, swapped_N), wrong_N))
        probability_N = audited(vectors_ND, norms_N, swapped_N)[0]
        is_listed = probability_N >= 0.05
        listed.append((is_listed.sum(), wrong_N[is_listed].mean(), probability_N[is_listed].mean()))
    cells = ["{:.4f} / {:.3f}".format(*np.mean(values, axis=0)) for values in figures.values()]
    number, precision, estimated = np.mean(listed, axis=0)
    return f"| {100 * rate:g} % {how} | " + " | ".join(cells) + f" | {number:.0f} | {precision:.2f} | {estimated:.2f} |"


def swap(
    vectors_ND: Array, labels_N: NDArray[np.int64], rate: float, how: str, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Labels of which a share is wrong, and which."""
    generator, classes = np.random.default_rng(seed), int(labels_N.max()) + 1
    chosen = generator.choice(len(labels_N), round(rate * len(labels_N)), replace=False)
    swapped_N, wrong_N = labels_N.copy(), np.zeros(len(labels_N), bool)
    wrong_N[chosen] = True
    if how == "uniformly":
        swapped_N[chosen] = (labels_N[chosen] + generator.integers(1, classes, len(chosen))) % classes
    else:
        cosine_MC = vectors_ND[chosen] @ means(vectors_ND, labels_N).T
        cosine_MC[np.arange(len(chosen)), labels_N[chosen]] = -np.inf
        swapped_N[chosen] = cosine_MC.argmax(1)
    return swapped_N, wrong_N


def measure(suspicion_N: NDArray[np.float64], wrong_N: NDArray[np.bool_]) -> tuple[float, float]:
    """(average precision, recall at the true count)."""
    hits_N = wrong_N[np.argsort(-suspicion_N, kind="stable")]
    precision_N = np.cumsum(hits_N) / np.arange(1, len(hits_N) + 1)
    return float((precision_N * hits_N).sum() / hits_N.sum()), float(hits_N[: wrong_N.sum()].mean())


def means(vectors_ND: Array, labels_N: NDArray[np.int64]) -> Array:
    sums_CD = np.zeros((labels_N.max() + 1, vectors_ND.shape[1]), np.float32)
    np.add.at(sums_CD, labels_N, vectors_ND)
    return sums_CD / np.maximum(np.linalg.norm(sums_CD, axis=1, keepdims=True), 1e-12)


def cosines(vectors_ND: Array, labels_N: NDArray[np.int64]) -> tuple[Array, Array]:
    """Own (N,), without the image itself, and best other (N,)."""
    sums_CD = np.zeros((labels_N.max() + 1, vectors_ND.shape[1]), np.float32)
    np.add.at(sums_CD, labels_N, vectors_ND)
    others_ND = sums_CD[labels_N] - vectors_ND
    own_N = (vectors_ND * others_ND).sum(1) / np.maximum(np.linalg.norm(others_ND, axis=1), 1e-12)
    cosine_NC = vectors_ND @ means(vectors_ND, labels_N).T
    cosine_NC[np.arange(len(labels_N)), labels_N] = -np.inf
    return own_N, cosine_NC.max(1)


def audited(
    vectors_ND: Array, norms_N: Array, labels_N: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Probabilities and suspicions."""
    space = LabeledSpace(vectors_ND, norms_N, labels_N, int(labels_N.max()) + 1, torch.device("cpu"))
    found, suspicion_N = mislabelled(fits(space), space.weights_N)
    return found.probability_N, suspicion_N


def own_cosine(vectors_ND: Array, _: Array, labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    return -cosines(vectors_ND, labels_N)[0].astype(np.float64)


def margin(vectors_ND: Array, _: Array, labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    own_N, other_N = cosines(vectors_ND, labels_N)
    return (other_N - own_N).astype(np.float64)


def disagreement(vectors_ND: Array, _: Array, labels_N: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share of the nearest neighbours that have another label, weighted by their cosines."""
    cosine_NN = vectors_ND @ vectors_ND.T
    np.fill_diagonal(cosine_NN, -np.inf)
    nearest_NK = np.argpartition(-cosine_NN, NEIGHBORS, axis=1)[:, :NEIGHBORS]
    weight_NK = np.maximum(np.take_along_axis(cosine_NN, nearest_NK, axis=1), 0)
    differs_NK = labels_N[nearest_NK] != labels_N[:, None]
    return np.asarray((weight_NK * differs_NK).sum(1) / np.maximum(weight_NK.sum(1), 1e-12), np.float64)


PEERS: dict[str, Callable[[Array, Array, NDArray[np.int64]], NDArray[np.float64]]] = {
    "own cosine": own_cosine,
    f"{NEIGHBORS} nearest neighbours": disagreement,
    "leave-one-out margin": margin,
    "audit": lambda *given: audited(*given)[1],
}


@dataclass(frozen=True)
class Judged:
    """What is said of pairs of labels, or of labels, and which are planted: scores (K,), planted (K,), of `number`."""

    scores: NDArray[np.float64]
    planted: NDArray[np.bool_]
    number: int

    def recall(self) -> float:
        """Of the planted ones, those among as many of the surest."""
        return float(self.planted[np.argsort(-self.scores)[: self.number]].sum() / self.number)

    def listed(self) -> NDArray[np.bool_]:
        return np.asarray(self.scores >= LISTED_LABELS)


def plant_people(
    vectors_ND: Array,
    norms_N: Array,
    labels_N: NDArray[np.int64],
    rate: float,
    swapped: float,
    how: str,
    seed: int,
    same_P2: NDArray[np.int64] = NONE,
) -> tuple[Judged, Judged]:
    """A share of the people cut in two, as many pairs of others put together (any, or each with the nearest), a share
    of the labels swapped: what is said of split and of merged labels. `same_P2`: labels of one person already."""
    generator, classes = np.random.default_rng(seed), int(labels_N.max()) + 1
    number = max(1, round(rate * classes))
    made_N = swap(vectors_ND, labels_N, swapped, "uniformly", seed)[0] if swapped else labels_N.copy()
    drawn = generator.permutation(classes)
    cut, rest = drawn[:number], drawn[number:]
    for new, label in enumerate(cut):
        members = generator.permutation(np.flatnonzero(made_N == label))
        made_N[members[::2]] = classes + new
    pairs = rest[: 2 * number].reshape(-1, 2).tolist()
    if how == "nearest":
        pairs = nearest_pairs(vectors_ND, labels_N, rest.tolist(), number)
    for first, second in pairs:
        made_N[made_N == second] = first
    names, made_N = np.unique(made_N, return_inverse=True)
    space = LabeledSpace(vectors_ND, norms_N, made_N.astype(np.int64), len(names), torch.device("cpu"))
    split, merged = split_pairs(space), merged_labels(space, vectors_ND)
    two_halves = {(int(label), classes + new) for new, label in enumerate(cut)}
    halves = {int(label): [int(label), classes + new] for new, label in enumerate(cut)}
    for first, second in same_P2.tolist():
        both = product(halves.get(first, [first]), halves.get(second, [second]))
        two_halves |= {(min(pair), max(pair)) for pair in both}
    together = {int(first) for first, _ in pairs}
    return (
        Judged(
            split.probability_P,
            np.array([tuple(names[pair].tolist()) in two_halves for pair in split.pairs_P2]),
            number,
        ),
        Judged(merged.probability, np.array([int(names[label]) in together for label in merged.labels]), number),
    )


def nearest_pairs(
    vectors_ND: Array, labels_N: NDArray[np.int64], people: list[int], number: int
) -> list[tuple[int, int]]:
    centers_CD = np.stack([vectors_ND[labels_N == label].mean(0) for label in range(int(labels_N.max()) + 1)])
    centers_CD /= np.linalg.norm(centers_CD, axis=1, keepdims=True)
    left, pairs = list(people), []
    while len(pairs) < number:
        first = left.pop(0)
        second = max(left, key=lambda other: float(centers_CD[first] @ centers_CD[other]))
        left.remove(second)
        pairs.append((first, second))
    return pairs


def people(vectors_ND: Array, norms_N: Array, labels_N: NDArray[np.int64], seeds: int) -> None:
    """5 % of the people cut in two, 5 % of the others put together in pairs; with 0 and 10 % of the labels swapped."""
    print("| 5 % of the people, labels swapped | split: recall@k | listed | merged: recall@k | listed |")
    print("|---|---|---|---|---|")
    for rate in (0.0, 0.1):
        both = [plant_people(vectors_ND, norms_N, labels_N, 0.05, rate, "any", seed) for seed in range(seeds)]
        cells = []
        for judged in zip(*both, strict=True):
            cells += [f"{np.mean([one.recall() for one in judged]):.2f}"]
            cells += [f"{np.mean([one.listed().sum() for one in judged]):.1f}"]
        classes = int(labels_N.max()) + 1
        print(f"| {both[0][0].number} of {classes}, {100 * rate:g} % | " + " | ".join(cells) + " |")
    print(flush=True)


def bands(
    vectors_ND: Array, norms_N: Array, labels_N: NDArray[np.int64], same_P2: NDArray[np.int64], seeds: int
) -> None:
    """Predicted and true precision by score, together for 1, 5 and 10 % of the people, pairs of any and of the nearest,
    0 and 10 % of the labels swapped."""
    given = [
        plant_people(vectors_ND, norms_N, labels_N, rate, swapped, how, HELD_OUT + seed, same_P2)
        for rate in RATES[:3]
        for how in ("any", "nearest")
        for swapped in (0.0, 0.1)
        for seed in range(seeds)
    ]
    print("| scores | split: number | predicted | true | merged: number | predicted | true |")
    print("|---|---|---|---|---|---|---|")
    kinds = [
        (np.concatenate([one.scores for one in judged]), np.concatenate([one.planted for one in judged]))
        for judged in zip(*given, strict=True)
    ]
    for low, high in pairwise(BANDS):
        cells = []
        for scores, planted in kinds:
            inside = (scores >= low) & (scores < high)
            figures = (f"{scores[inside].mean():.2f}", f"{planted[inside].mean():.2f}") if inside.any() else ("—", "—")
            cells += [f"{inside.sum():,}", *figures]
        print(f"| {low:g} to {min(high, 1):g} | " + " | ".join(cells) + " |")
    brier = [float(((scores - planted) ** 2).mean()) for scores, planted in kinds]
    print(f"\nBrier score: split {brier[0]:.4f}, merged {brier[1]:.4f}.\n", flush=True)


if __name__ == "__main__":
    main()
