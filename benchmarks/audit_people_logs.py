"""What a training's own log tells of people under two labels, and of two people under one.

Claim: of people cut in two, the audit of the log finds more than the cosine of the two centres does. Of labels of two
people a log tells little: the measures here are the most that it could say, and the audit lists none.

    python benchmarks/audit_people_logs.py FACES WORK --sface SET.npz [--seeds 0 1 2]

5 % of the people are cut in two, as many pairs of others are put together, and a small network is trained on these
labels with the recorder on (planted_logs.py). AP / recall at the true count. SFace's embeddings tell of the same
labels. The set's own errors count as false alarms.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from audit_labels import measure
from measure import machine
from numpy.typing import NDArray
from planted_logs import (
    RECIPE,
    Faces,
    Integers,
    Mask,
    Numbers,
    Planted,
    read_faces,
    read_log,
    text,
    train_one,
    write_pictures,
)

from facemargin.auditing.merged import merged_labels
from facemargin.auditing.people import split_pairs
from facemargin.auditing.recorded import likeness_of_labels
from facemargin.auditing.space import LabeledSpace
from facemargin.auditing.visited import Visited, visited
from facemargin.features.class_quality import load_centers

SHARE = 0.05
FIGURES = (
    "split: audit of the log",
    "split: cosine of the centres",
    "split: SFace, audit",
    "merged: low target cosines",
    "merged: spread target cosines",
    "merged: SFace, audit",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces")
    parser.add_argument("work", type=Path)
    parser.add_argument("--sface", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RECIPE["epochs"] = arguments.epochs
    faces = read_faces(arguments.sface)
    pictures = write_pictures(arguments.faces, faces.indices_N, arguments.work / "pictures")
    print(f"{machine()}\n\n| seed | listed as split | right | " + " | ".join(FIGURES) + " |")
    print("|---" * (len(FIGURES) + 3) + "|")
    for seed in arguments.seeds:
        labels_N, halves, together = plant_people(faces.labels_N, seed)
        folder = arguments.work / f"people-{SHARE:g}-{seed}"
        if not (folder / "truth.npz").exists():
            none_N = np.zeros(len(labels_N), bool)
            train_one(pictures, Planted(labels_N, none_N, none_N), folder, seed)
        print(f"| {seed} | " + " | ".join(figures(folder, faces, labels_N, halves, together)) + " |", flush=True)


def plant_people(labels_N: Integers, seed: int) -> tuple[Integers, set[tuple[int, int]], set[int]]:
    """Labels 0, 1, …, the pairs of halves of a person, and the labels of two people."""
    generator, classes = np.random.default_rng([seed, 2]), int(labels_N.max()) + 1
    number, made_N = round(SHARE * classes), labels_N.copy()
    drawn = generator.permutation(classes)[: 3 * number]
    for new, label in enumerate(drawn[:number]):
        members = generator.permutation(np.flatnonzero(labels_N == label))
        made_N[members[::2]] = classes + new
    for first, second in drawn[number:].reshape(-1, 2):
        made_N[made_N == second] = first
    names, made_N = np.unique(made_N, return_inverse=True)
    place = {int(name): number for number, name in enumerate(names.tolist())}
    halves = {(place[int(label)], place[classes + new]) for new, label in enumerate(drawn[:number])}
    return made_N.astype(np.int64), halves, {place[int(first)] for first in drawn[number::2]}


def figures(
    folder: Path, faces: Faces, labels_N: Integers, halves: set[tuple[int, int]], together: set[int]
) -> list[str]:
    log, number = read_log(folder), int(labels_N.max()) + 1
    assert np.array_equal(log.recording.labels, labels_N)
    seen = visited(log.recording)
    known_N = (seen.visits_N > 0) & np.isfinite(seen.target_N)
    likeness = likeness_of_labels(seen, known_N, labels_N, number)
    listed = [pair for pair, one in likeness.items() if one >= 0.25]
    centers_CD = load_centers(folder / "run" / "head.safetensors").numpy().astype(np.float64)
    centers_CD /= np.maximum(np.linalg.norm(centers_CD, axis=1, keepdims=True), 1e-12)
    first, second = np.triu_indices(number, 1)
    is_half = np.array([pair in halves for pair in zip(first.tolist(), second.tolist(), strict=True)])
    of_log = np.array([likeness.get(pair, 0.0) for pair in zip(first.tolist(), second.tolist(), strict=True)])
    is_merged = np.isin(np.arange(number), [*together])
    space = LabeledSpace(faces.vectors_ND, faces.norms_N, labels_N, number, torch.device("cpu"))
    pairs, merged = split_pairs(space), merged_labels(space, faces.vectors_ND)
    of_pairs = {tuple(pair): one for pair, one in zip(pairs.pairs_P2.tolist(), pairs.probability_P, strict=True)}
    by_sface = np.array([of_pairs.get(pair, 0.0) for pair in zip(first.tolist(), second.tolist(), strict=True)])
    merged_C = np.zeros(number)
    merged_C[merged.labels] = merged.probability
    low_C, spread_C = of_labels(seen, known_N, labels_N, number)
    return [
        str(len(listed)),
        str(len(halves & set(listed))),
        text(measure(of_log, is_half)),
        text(measure((centers_CD[first] * centers_CD[second]).sum(1), is_half)),
        text(measure(by_sface, is_half)),
        *(text(measure(suspicion_C, is_merged)) for suspicion_C in (low_C, spread_C, merged_C)),
    ]


def of_labels(seen: Visited, known_N: Mask, labels_N: Integers, number: int) -> tuple[Numbers, Numbers]:
    """Of each label the mean of its images' target cosines, the lowest the most suspicious, and their deviation."""
    by_label: list[NDArray[np.float64]] = [seen.target_N[known_N & (labels_N == label)] for label in range(number)]
    return (
        np.array([-one.mean() if len(one) else -1.0 for one in by_label]),
        np.array([one.std() if len(one) else 0.0 for one in by_label]),
    )


if __name__ == "__main__":
    main()
