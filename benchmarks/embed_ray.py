"""Embedding with Ray on this machine: against one plain process, on the same images.

One process on one thread, one on two, and Ray with two processes of one thread and a third that reads; the same
batches, hence the same bits as one thread, which is checked. Images a second of Ray are counted from its first finished
piece to its last; what it takes to start is told apart. Rounds in turns, medians.
"""

import os
import statistics
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of Ray's processes

import cv2
import numpy as np
import torch
from measure import machine

import facemargin as fm
from facemargin.data.formats.named_images import NamedImages
from facemargin.data.source import ImageSource
from facemargin.features.pieces import Pieces
from facemargin.features.ray_cluster import Cluster
from facemargin.features.ray_engine import ModelFacts, Work, model_facts, run_pieces
from facemargin.features.store import extract_features, features_key
from facemargin.features.store_files import FeatureFiles
from facemargin.models.model import Model

BATCH, ROUNDS = 16, 3


def load(_: str) -> Model:
    torch.manual_seed(0)
    return fm.wrap(fm.create_backbone("mobilefacenet").eval(), input_size=112)


def nothing(_: ImageSource) -> dict[str, object]:
    return {}


def no_key(_: Model) -> str:
    return ""


def main() -> None:
    if find_spec("ray") is None:
        print('left out: pip install "facemargin[scale]"')
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 512
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_images(root / "images", count)
        images, model = NamedImages([root / "images"]), load("cpu")
        work = Work(
            load=load,
            open=partial(NamedImages, [root / "images"]),
            take_notes=nothing,
            key_of=no_key,
            views=None,
            folder=folder,
            threads=1,
            device="cpu",
        )
        rates: dict[str, list[float]] = {"one process, 1 thread": [], "one process, 2 threads": [], "Ray": []}
        started, starts = time.perf_counter(), []
        with Cluster() as cluster:
            up = time.perf_counter() - started
            facts = model_facts(cluster, work)
            for number in range(ROUNDS):
                for threads, name in ((1, "one process, 1 thread"), (2, "one process, 2 threads")):
                    rates[name].append(plain(model, images, root / f"plain{threads}-{number}", threads))
                rate, start = with_ray(cluster, work, facts, images, root / f"ray{number}")
                rates["Ray"].append(rate)
                starts.append(start)
                print({name: f"{values[-1]:.1f}" for name, values in rates.items()}, flush=True)
                one, other = (np.load(root / f"{which}{number}/features.npy") for which in ("plain1-", "ray"))
                if not np.array_equal(one, other):
                    raise SystemExit("the features of Ray are not those of one process")
        busy = f"load {os.getloadavg()[0]:.1f}"
        print(f"{machine()}; {busy}; torch {torch.__version__}; {count} JPEGs, mobilefacenet, float32")
        for name, values in rates.items():
            print(f"{name:>24} {statistics.median(values):7.1f} images/s ({min(values):.1f}–{max(values):.1f})")
        ratios = [ours / theirs for ours, theirs in zip(rates["Ray"], rates["one process, 1 thread"], strict=True)]
        print(f"Ray / one process of 1 thread: {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})")
        print(f"the cluster is up after {up:.1f} s; first piece {statistics.median(starts):.1f} s after that")


def write_images(folder: Path, count: int) -> None:
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(count):
        small = random.integers(0, 256, (14, 14, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number:06d}.jpg"), cv2.resize(small, (112, 112)))


def plain(model: Model, images: ImageSource, folder: Path, threads: int) -> float:
    torch.set_num_threads(threads)
    started = time.perf_counter()
    extract_features(model, images, folder, features_key(model, images), BATCH)
    return len(images) / (time.perf_counter() - started)


def with_ray(cluster: Cluster, work: Work, facts: ModelFacts, images: ImageSource, folder: Path) -> tuple[float, float]:
    """Images a second after the first piece, and the seconds until then."""
    pieces = Pieces(folder, facts.key, len(images), facts.embedding_size, BATCH)
    pieces.begin()
    times, counts = [], []
    started = time.perf_counter()
    for done in run_pieces(cluster, work, facts, pieces, pieces.ranges):
        times.append(time.perf_counter())
        counts.append(len(done.piece))
    files = FeatureFiles(folder, facts.key, len(images), facts.embedding_size)
    with files:
        list(pieces.take_up(files))
        files.save()
    return sum(counts[1:]) / (times[-1] - times[0]), times[0] - started


if __name__ == "__main__":
    main()
