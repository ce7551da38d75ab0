"""Scoring IJB-C (pooling, pair scores, ROC) beside InsightFace's routine, and searching galleries that are on the disk.

Claims, on two cores: IJB-C's sizes in at most 7 s for arbitrary pairs and 4 s for pairs laid out as in IJB-C, with at
most 400 MB beside the inputs (features are memory-mapped); InsightFace's formulation takes minutes. A gallery of a
million in bounded memory.

`python benchmarks/ijb_scoring.py [FRACTION [part …]]`: FRACTION of the sizes (default 1); parts: layout, arbitrary,
search, text.
Shapes: N images, D embedding size, S templates, K pairs, P probes, G gallery entries.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import machine, peak_extra_memory

from facemargin.evaluation import identification, pool_templates
from facemargin.evaluation.metrics.pair_scores import pair_scores
from facemargin.evaluation.metrics.pairs import check_pairs
from facemargin.evaluation.metrics.roc import roc_corners
from facemargin.evaluation.metrics.sorted_scores import SortedPairs
from facemargin.evaluation.metrics.tar_at_far import operating_points
from facemargin.evaluation.protocols.ijb_files import read_integer_table

IMAGES, TEMPLATES, PAIRS, GENUINE, GALLERY = 469_375, 23_124, 15_658_489, 19_557, 3_531
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
D = 512
ROUNDS = 5


def main() -> None:
    fraction = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    parts = sys.argv[2:] or ["layout", "arbitrary", "search", "text"]
    print(f"{machine()}; {torch.get_num_threads()} threads; torch {torch.__version__}; load {load_average()}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        for part in parts:
            {"layout": ijb, "arbitrary": ijb, "search": searches, "text": text}[part](Path(folder), fraction, part)


def ijb(folder: Path, fraction: float, part: str) -> None:
    rng = np.random.default_rng(0)
    images, templates, pairs = (int(size * fraction) for size in (IMAGES, TEMPLATES, PAIRS))
    features_ND = random_file(folder / "features", images)
    template_N = np.concatenate([np.arange(templates), rng.integers(0, templates, images - templates)])
    rng.shuffle(template_N)
    media_N, weight_N = rng.integers(0, 6, images), rng.random(images, dtype=np.float32)
    first_K, second_K = template_pairs(rng, templates, pairs, part)
    same_K = np.zeros(pairs, dtype=bool)
    same_K[rng.choice(pairs, int(GENUINE * fraction), replace=False)] = True

    def ours(steps: dict[str, float]) -> list[float]:
        pooled = timed(steps, "pooling", lambda: pool_templates(features_ND, template_N, media_N, weight_N))
        scores_K = timed(steps, "pair scores", lambda: pair_scores(pooled.vectors, first_K, second_K))
        return timed(steps, "ROC", lambda: our_roc(scores_K, same_K))

    def theirs(steps: dict[str, float]) -> list[float]:
        pooled_SD = timed(steps, "pooling", lambda: pool_by_template(features_ND, template_N, media_N, weight_N))
        scores_K = timed(steps, "pair scores", lambda: score_by_batches(pooled_SD, first_K, second_K))
        return timed(steps, "ROC", lambda: full_roc(scores_K, same_K))

    print(f"\nIJB-C, {part}: {images:,} images in {templates:,} templates, {pairs:,} pairs")
    features_ND.sum()  # into the page cache: both read it from there
    tars: list[float] = []
    extra = peak_extra_memory(lambda: tars.extend(ours({})))  # the warm-up, too
    runs: list[dict[str, float]] = [{} for _ in range(ROUNDS)]
    processor = time.process_time()
    for run in runs:
        ours(run)
    processor = (time.process_time() - processor) / ROUNDS
    once: dict[str, float] = {}
    their_tars: list[float] = []
    their_extra = peak_extra_memory(lambda: their_tars.extend(theirs(once)))
    for name in once:
        middle = statistics.median(run[name] for run in runs)
        print(f"{name:>14}{middle:9.2f} s{once[name]:12.2f} s{once[name] / middle:10.1f} ×")
    totals = [sum(run.values()) for run in runs]
    total, their_total = statistics.median(totals), sum(once.values())
    print(f"{'total':>14}{total:9.2f} s{their_total:12.2f} s{their_total / total:10.1f} ×")
    print(f"{'peak memory':>14}{extra:9.0f} MB{their_extra:11.0f} MB")
    print(
        f"total in {ROUNDS} rounds: {min(totals):.2f} to {max(totals):.2f} s, {processor:.2f} processor seconds each; "
        f"load {load_average()}"
    )
    difference = max(abs(a - b) for a, b in zip(tars, their_tars, strict=True))
    print(f"largest difference of a TAR: {difference:.1e} (one genuine pair is {1 / same_K.sum():.1e})")


def template_pairs(rng: np.random.Generator, templates: int, pairs: int, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Gallery templates with probe templates, as in IJB-C, or any with any."""
    if part == "arbitrary":
        first_K, second_K = rng.integers(0, templates, (2, pairs), dtype=np.int32)
        return first_K, second_K
    order = rng.permutation(templates).astype(np.int32)
    gallery = int(GALLERY * templates / TEMPLATES)
    return order[rng.integers(0, gallery, pairs)], order[rng.integers(gallery, templates, pairs)]


def our_roc(scores_K: np.ndarray, same_K: np.ndarray) -> list[float]:
    """The whole curve, and TAR at the nearest FARs."""
    pairs = SortedPairs.of(*check_pairs(scores_K, same_K, keep_float32=True))
    roc_corners(pairs)
    return list(operating_points(pairs, FARS, "nearest").tar.values())


def pool_by_template(
    features_ND: np.ndarray, template_N: np.ndarray, media_N: np.ndarray, weight_N: np.ndarray
) -> np.ndarray:
    """InsightFace's formulation: a search of all images for every template, then a mean for every media of it."""
    features_ND = features_ND * weight_N[:, None]
    templates = np.unique(template_N)
    pooled_SD = np.zeros((len(templates), features_ND.shape[1]))
    for number, template in enumerate(templates):
        (rows,) = np.where(template_N == template)
        faces, media = features_ND[rows], media_N[rows]
        means = []
        for one, count in zip(*np.unique(media, return_counts=True), strict=True):
            (of_media,) = np.where(media == one)
            means.append(faces[of_media] if count == 1 else faces[of_media].mean(axis=0, keepdims=True))
        pooled_SD[number] = np.concatenate(means).sum(axis=0)
    return pooled_SD / np.linalg.norm(pooled_SD, axis=1, keepdims=True)


def score_by_batches(
    vectors_SD: np.ndarray, first_K: np.ndarray, second_K: np.ndarray, batch: int = 100_000
) -> np.ndarray:
    """InsightFace's formulation: both rows of every pair are fetched, a batch of pairs at a time."""
    scores_K = np.zeros(len(first_K))
    for start in range(0, len(first_K), batch):
        block = slice(start, start + batch)
        scores_K[block] = np.sum(vectors_SD[first_K[block]] * vectors_SD[second_K[block]], axis=-1)
    return scores_K


def full_roc(scores_K: np.ndarray, same_K: np.ndarray) -> list[float]:
    """scikit-learn's roc_curve, which InsightFace calls, and the point of nearest FAR with the largest TAR."""
    order = np.argsort(scores_K, kind="mergesort")[::-1]
    sorted_K, hits_K = scores_K[order], same_K[order].astype(np.float64)
    ends = np.append(np.where(np.diff(sorted_K))[0], len(sorted_K) - 1)
    true = np.cumsum(hits_K)[ends]
    false = 1 + ends - true
    corner = np.append(np.append(True, np.logical_or(np.diff(false, 2), np.diff(true, 2))), True)
    far_T, tar_T = np.append(0, false[corner] / false[-1]), np.append(0, true[corner] / true[-1])
    far_T, tar_T = far_T[::-1], tar_T[::-1]
    return [float(tar_T[min(zip(np.abs(far_T - far), range(len(far_T)), strict=True))[1]]) for far in FARS]


def searches(folder: Path, fraction: float, part: str) -> None:
    """TinyFace's sizes, and its probes in a gallery of a million."""
    for name, entries in (("TinyFace", 157_871), ("a million distractors", 1_000_000)):
        path = folder / name
        one_search(name, random_file(path, int(entries * fraction)), int(3_728 * fraction), int(4_443 * fraction))
        path.unlink()


def one_search(name: str, gallery_GD: np.memmap, probes: int, mates: int) -> None:
    rng = np.random.default_rng(1)
    probe_PD = rng.standard_normal((probes, D), dtype=np.float32)
    gallery_ids = np.append(rng.integers(0, 2_569, mates), 10_000 + np.arange(len(gallery_GD) - mates))
    probe_ids = gallery_ids[rng.integers(0, mates, probes)]
    gallery_GD.sum()
    steps: dict[str, float] = {}
    timed(steps, "products", lambda: bare_products(probe_PD, gallery_GD))

    def search() -> None:
        timed(steps, "search", lambda: identification(probe_PD, gallery_GD, probe_ids, gallery_ids, ranks=(1, 5, 20)))

    extra = peak_extra_memory(search)
    print(
        f"\n{name}: {probes:,} probes × {len(gallery_GD):,}, ranks 1, 5, 20: {steps['search']:.1f} s, "
        f"{steps['search'] / steps['products']:.2f} × the bare products; {extra:.0f} MB beside the gallery on disk"
    )


def bare_products(probe_PD: np.ndarray, gallery_GD: np.ndarray) -> None:
    """All products, in blocks that are thrown away."""
    probes, gallery = torch.from_numpy(probe_PD), torch.from_numpy(gallery_GD)
    for chunk in range(0, len(gallery), 8192):
        for start in range(0, len(probes), 512):
            probes[start : start + 512] @ gallery[chunk : chunk + 8192].T


def text(folder: Path, fraction: float, part: str) -> None:
    """The file of template pairs, 15,658,489 lines."""
    rng = np.random.default_rng(0)
    lines = int(PAIRS * fraction)
    path, short = folder / "pairs.txt", folder / "short.txt"
    with path.open("w") as file:
        for start in range(0, lines, 2**20):
            rows = rng.integers(1, 30_000, (min(2**20, lines - start), 2)).tolist()
            file.write("".join(f"{a} {b} 0\n" for a, b in rows))
    with path.open() as file:
        short.write_text("".join(next(file) for _ in range(lines // 50)))
    steps: dict[str, float] = {}
    timed(steps, "ours", lambda: read_integer_table(path, 3))
    timed(steps, "loadtxt", lambda: np.loadtxt(short, dtype=np.int32))
    print(f"\ntext of {lines:,} pairs: {steps['ours']:.1f} s; np.loadtxt, by a fiftieth: {50 * steps['loadtxt']:.1f} s")


def load_average() -> str:
    """Of the last minute: how busy the machine is with this and everything else."""
    return Path("/proc/loadavg").read_text().split()[0]


def timed(steps: dict[str, float], name: str, function: Callable):
    started = time.perf_counter()
    result = function()
    steps[name] = time.perf_counter() - started
    return result


def random_file(path: Path, rows: int) -> np.memmap:
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        for start in range(0, rows, 2**15):
            rng.standard_normal((min(2**15, rows - start), D), dtype=np.float32).tofile(file)
    return np.memmap(path, np.float32, "c", shape=(rows, D))


if __name__ == "__main__":
    main()
