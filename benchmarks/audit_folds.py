"""The audit of a training's own log beside cleanlab, whose probabilities are those of networks that have not seen the
image, on a few people of a set.

Claim: the log of one training finds more of the wrong labels than the out-of-fold probabilities of five.

`python benchmarks/audit_folds.py FACES WORK --sface SET.npz [--people 50]`, see audit_logs.py; needs cleanlab
(pip install cleanlab).
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from measure import machine
from planted_logs import (
    PEERS,
    RECIPE,
    Faces,
    Numbers,
    Planted,
    add_arguments,
    measure_of,
    name_of,
    plant,
    read_faces,
    read_log,
    text,
    train_one,
    write_pictures,
)  # fmt: skip

import facemargin as fm
from facemargin.features.class_quality import load_centers

FOLDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces")
    parser.add_argument("--people", type=int, default=50)
    add_arguments(parser)
    arguments = parser.parse_args()
    from cleanlab.rank import get_label_quality_scores

    torch.set_num_threads(1)
    every = read_faces(arguments.sface)
    chosen = np.flatnonzero(every.labels_N < arguments.people)
    faces = Faces(*(values[chosen] for values in vars(every).values()))
    work = arguments.work / f"folds-{arguments.people}"
    pictures = write_pictures(arguments.faces, faces.indices_N, work / "pictures")
    print(f"{machine()}\n\n{len(pictures):,} images of {arguments.people} people, {FOLDS} folds\n")
    methods = ("self_confidence", "normalized_margin")
    print("| swapped | seed | " + " | ".join([*PEERS, *(f"cleanlab, {method}" for method in methods)]) + " |")
    print("|---" * (len(PEERS) + len(methods) + 2) + "|")
    for rate in arguments.rates:
        for how in arguments.hows:
            for seed in arguments.seeds:
                planted = plant(faces.vectors_ND, faces.labels_N, how, rate, seed)
                folder = work / name_of(how, rate, seed)
                if not (folder / "truth.npz").exists():
                    train_one(pictures, planted, folder, seed)
                log = read_log(folder)
                scores = out_of_fold(pictures, planted, folder, seed)
                figures = [measure_of(log, peer(log)) for peer in PEERS.values()]
                for method in methods:
                    quality_N = get_label_quality_scores(planted.labels_N, scores, method=method)
                    figures.append(measure_of(log, -quality_N))
                cells = " | ".join(map(text, figures))
                print(f"| {100 * rate:g} % {how} | {seed} | {cells} |", flush=True)


def out_of_fold(pictures: list[Path], planted: Planted, folder: Path, seed: int) -> Numbers:
    """Probabilities of the classes (N, C), each image's by a network that has not been trained on it."""
    labels_N, classes = planted.labels_N, int(planted.labels_N.max()) + 1
    # in every fold as many of each class as can be
    order = np.lexsort((np.random.default_rng([seed, 2]).random(len(labels_N)), labels_N))
    fold_N = np.empty(len(labels_N), np.int64)
    fold_N[order] = np.arange(len(labels_N)) % FOLDS
    probability_NC = np.zeros((len(labels_N), classes))
    for fold in range(FOLDS):
        rest, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
        part = folder.with_name(f"{folder.name}-fold-{fold}")
        if not (part / "truth.npz").exists():
            taken = Planted(labels_N[rest], planted.wrong_N[rest], planted.fake_N[rest])
            train_one([pictures[image] for image in rest], taken, part, seed)
        names = fm.open_images(part / "list.txt").identity_names
        (part / "held.txt").write_text("".join(f"../pictures/{pictures[image].name}\tp00000\n" for image in held))
        vectors_MD = fm.load(part / "run").embed(fm.open_images(part / "held.txt")).vectors
        centers_CD = np.asarray(load_centers(part / "run" / "head.safetensors"))
        logits_MC = RECIPE["head"]["scale"] * vectors_MD @ (centers_CD / np.linalg.norm(centers_CD, axis=1)[:, None]).T
        power_MC = np.exp(logits_MC - logits_MC.max(1, keepdims=True))
        of_class = [int(name.removeprefix("p")) for name in names]
        probability_NC[np.ix_(held, of_class)] = power_MC / power_MC.sum(1, keepdims=True)
    return probability_NC


if __name__ == "__main__":
    main()
