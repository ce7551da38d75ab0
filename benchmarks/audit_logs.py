"""How well the audit of a training's own log finds wrong labels, beside simpler measures of the same log.

Claim: no simpler measure of the same log finds more of the wrong labels than the audit does.

    python benchmarks/audit_logs.py train FACES WORK --sface SET.npz [--rates 0.05 0.2] [--seeds 0 1 2]
    python benchmarks/audit_logs.py train FACES WORK --sface SET.npz --sub-centers 3
    python benchmarks/audit_logs.py table WORK --sface SET.npz

`train` swaps labels, uniformly and to the nearest class, and trains a small network with the recorder on; its
recordings stay in WORK, outside the repository (see planted_logs.py). SET.npz holds SFace's `vectors` (N, D) of unit
length, `norms` (N,), `labels` (N,) and `indices` (N,) of the images of FACES to train on. `table` also shows what
embeddings tell of the same labels. The set's own errors count as false alarms.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from audit_labels import NEIGHBORS, audited, disagreement
from measure import machine
from planted_logs import (
    PEERS,
    RECIPE,
    Faces,
    Log,
    Mask,
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
from facemargin.auditing.recorded import wrong_label
from facemargin.auditing.sub_centers import NOISE_DEGREES, dominant_sub_centers
from facemargin.auditing.visited import visited
from facemargin.counting import counted
from facemargin.features.class_quality import load_centers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("faces")
    training.add_argument("--sub-centers", type=int, default=1)
    training.add_argument("--epochs", type=int, default=RECIPE["epochs"])
    training.add_argument("--initial", default="", help="a model of this network, instead of random weights")
    table = commands.add_parser("table")
    for command in (training, table):
        add_arguments(command)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    {"train": train_all, "table": print_table}[arguments.command](arguments)


def train_all(arguments: argparse.Namespace) -> None:
    faces = read_faces(arguments.sface)
    RECIPE["epochs"] = arguments.epochs
    pictures = write_pictures(arguments.faces, faces.indices_N, arguments.work / "pictures")
    for rate in arguments.rates:
        for how in arguments.hows:
            for seed in arguments.seeds:
                folder = arguments.work / name_of(how, rate, seed, arguments.sub_centers)
                if not (folder / "truth.npz").exists():
                    planted = plant(faces.vectors_ND, faces.labels_N, how, rate, seed)
                    train_one(pictures, planted, folder, seed, arguments.initial, arguments.sub_centers)
                log = read_log(folder)
                found = ", ".join(f"{name} {text(measure_of(log, peer(log)))}" for name, peer in PEERS.items())
                print(f"{folder.name}: {found}", flush=True)


def print_table(arguments: argparse.Namespace) -> None:
    faces, work = read_faces(arguments.sface), arguments.work
    print(f"{machine()}; means over {len(arguments.seeds)} seeds\n")
    print(f"{len(faces.labels_N):,} images of {faces.labels_N.max() + 1} people\n")
    columns = [*PEERS, "sub-centres", f"SFace, {NEIGHBORS} nearest neighbours", "SFace, audit"]
    print("Average precision / recall at the true count.\n")
    print("| swapped | " + " | ".join(columns) + " |\n" + "|---" * (len(columns) + 1) + "|")
    listed = []
    for how in arguments.hows:
        for rate in sorted(arguments.rates):
            folders = [work / name_of(how, rate, seed) for seed in arguments.seeds]
            if not all((folder / "truth.npz").exists() for folder in folders):
                continue
            figures: dict[str, list[tuple[float, float]]] = {name: [] for name in columns}
            rows = []
            for folder, seed in zip(folders, arguments.seeds, strict=True):
                log = read_log(folder)
                for name, peer in PEERS.items():
                    figures[name].append(measure_of(log, peer(log)))
                planted = plant(faces.vectors_ND, faces.labels_N, how, rate, seed)
                assert np.array_equal(planted.wrong_N, log.wrong_N)
                found: list[Any] = listings(log)
                sub = work / name_of(how, rate, seed, 3)
                if (sub / "truth.npz").exists():
                    angle_N = angles(sub)
                    figures["sub-centres"].append(measure_of(log, angle_N))
                    found.append(listing(log, angle_N >= NOISE_DEGREES))
                rows.append(found)
                for name, suspicion_N in zip(columns[-2:], by_sface(faces, planted), strict=True):
                    figures[name].append(measure_of(log, suspicion_N))
            cells = [mean_text(values, len(folders)) for values in figures.values()]
            print(f"| {100 * rate:g} % {how} | " + " | ".join(cells) + " |", flush=True)
            listed.append((f"{100 * rate:g} % {how}", rows))
    print_listings(listed)


def mean_text(of_seeds: list[tuple[float, float]], seeds: int) -> str:
    return text(tuple(np.mean(of_seeds, 0))) + of_so_many(len(of_seeds), seeds) if of_seeds else "—"


def of_so_many(found: int, seeds: int) -> str:
    return "" if found == seeds else f" (of {counted(found, 'seed')})"


def by_sface(faces: Faces, planted: Planted) -> tuple[Numbers, Numbers]:
    """Suspicions by SFace's embeddings; images of the fake class make a class of their own there, too."""
    labels_N = np.unique(planted.labels_N, return_inverse=True)[1].astype(np.int64)
    given = faces.vectors_ND, faces.norms_N, labels_N
    return disagreement(*given), audited(*given)[1]


def angles(folder: Path) -> Numbers:
    """Degrees between every image and the dominant sub-centre of its class."""
    images = fm.open_images(folder / "list.txt")
    vectors_ND = fm.load(folder / "run").embed(images).vectors
    return dominant_sub_centers(load_centers(folder / "run" / "head.safetensors"), vectors_ND, images.labels).angle_N


def listing(log: Log, listed_N: Mask, estimated: float = np.nan) -> tuple[float, float, float, float]:
    """How many images are listed, how many of them rightly, how many that is estimated to be, recall."""
    listed_N = listed_N & ~log.fake_N
    hits = log.wrong_N[listed_N].sum()
    return float(listed_N.sum()), float(hits / max(listed_N.sum(), 1)), estimated, float(hits / log.wrong_N.sum())


def listings(log: Log) -> list[tuple[float, float, float, float]]:
    """What the audit lists, all and from .5 on, and AUM with its fake class, at the 99th percentile."""
    seen = visited(log.recording)
    wrong = wrong_label(seen, np.isfinite(seen.suspicion_N), len(log.recording.identity_names))
    found = []
    for least in (max(0.2, wrong.share), 0.5):
        listed_N = wrong.probability_N >= least
        found.append(listing(log, listed_N, float(wrong.probability_N[listed_N & ~log.fake_N].mean())))
    margin_N = log.mean(log.gaps())
    return [*found, listing(log, margin_N < np.percentile(margin_N[log.fake_N], 99))]


def print_listings(listed: list[tuple[str, list[Any]]]) -> None:
    names = ("audit, all listed", "audit, score ≥ .5", "AUM, fake class", f"sub-centres, {NOISE_DEGREES:g}°")
    print("\nListed: images, precision (as the audit estimates it), recall.\n")
    print("| swapped | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for row, found in listed:
        cells = []
        for place in range(len(names)):
            of_seeds = [one[place] for one in found if len(one) > place]
            if not of_seeds:
                cells.append("—")
                continue
            number, precision, estimated, recall = np.mean(of_seeds, axis=0)
            said = "" if np.isnan(estimated) else f" ({estimated:.2f})"
            cells.append(f"{number:.0f}, {precision:.2f}{said}, {recall:.2f}{of_so_many(len(of_seeds), len(found))}")
        print(f"| {row} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
