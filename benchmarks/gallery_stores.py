"""The stores of a gallery beside each other: a folder, and a file of Milvus Lite (`pip install "facemargin[milvus]"`).

Made-up unit vectors, one image a person, each store in a process of its own. Enrolling, opening, searches with one
probe, removing one person and adding one; the answers are compared with a product of all rows in float64, the scores
that Milvus gives with the exact ones; and the files are searched for the vector of the person who was removed.

    python benchmarks/gallery_stores.py [--people 20000] [--size 512] [--rounds 40] [--folder DIR]
"""

import argparse
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine
from rich.console import Console

from facemargin.gallery.binding import Binding
from facemargin.gallery.milvus_rows import MilvusState
from facemargin.gallery.milvus_tables import alive
from facemargin.gallery.store import NewImage, Store
from facemargin.gallery.stores import create_store, open_store
from facemargin.tables import Table

BEST = 5
AT_A_TIME = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where to make the galleries")
    args = parser.parse_args()
    console = Console(width=140)
    console.print(machine())
    place = Path(tempfile.mkdtemp(dir=args.folder))
    table = Table("store", "enrolled/s", "open, s", "first search, ms", "search p50, ms", "p95", "remove one, ms",
                  "add one, ms", "exact", "own scores off by", "MB on disk", "removed still in files")  # fmt: skip
    try:
        for name, path in (("folder", place / "gallery"), ("Milvus Lite", f"milvus:{place / 'gallery.db'}")):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                found = pool.apply(measure, (path, args.people, args.size, args.rounds))
            table.add_row(name, *found)
        console.print(f"{args.people:,} people × {args.size}")
        console.print(table)
    finally:
        shutil.rmtree(place)


def measure(path: Path | str, people: int, size: int, rounds: int) -> list[str]:
    rows_RD = unit(people, size, 1)
    fingerprint = np.linspace(-1, 1, size).tolist()
    binding = Binding("made-up", fingerprint, size, "norm", "flip", True, "made up", None, None, "2026", "0")
    store = create_store(path, binding)
    started = time.perf_counter()
    for first in range(0, people, AT_A_TIME):
        part = rows_RD[first : first + AT_A_TIME]
        store.add({f"p{first + n}": [NewImage(row, 1.0, 1.0)] for n, row in enumerate(part)})
    enrolled = people / (time.perf_counter() - started)
    store.close()
    opening, store = timed(lambda: open_store(path))
    probes_PD = unit(rounds, size, 2)
    first, _ = timed(lambda: store.search(probes_PD[:1], BEST))
    times, exact = [], True
    for probe_D in probes_PD:
        seconds, found = timed(lambda probe_D=probe_D: store.search(probe_D[None], BEST))
        times.append(seconds)
        score_R = rows_RD.astype(np.float64) @ probe_D.astype(np.float64)
        best = np.argsort(-score_R)[:BEST]
        exact &= store.person_names(found.people_PK[0].tolist()) == [f"p{row}" for row in best]
        exact &= found.scores_PK[0].tolist() == [float(rows_RD[row].astype(np.float64) @ probe_D) for row in best]
    off = own_scores(store, probes_PD)
    removing, _ = timed(lambda: store.remove_people(["p7"]))
    adding, _ = timed(lambda: store.add({"new": [NewImage(probes_PD[0], 1.0, 1.0)]}))
    store.close()
    files = [file for file in Path(str(path).removeprefix("milvus:")).rglob("*") if file.is_file()]
    left = any(rows_RD[7].tobytes() in file.read_bytes() for file in files)
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    p50, p95 = np.quantile(times, [0.5, 0.95])
    return [
        f"{enrolled:,.0f}", f"{opening:.3f}", f"{1e3 * first:.0f}", f"{1e3 * p50:.1f}", f"{1e3 * p95:.1f}",
        f"{1e3 * removing:.0f}", f"{1e3 * adding:.0f}", str(exact), off, f"{megabytes:.0f}", str(left),
    ]  # fmt: skip


def own_scores(store: Store, probes_PD: np.ndarray) -> str:
    """How far the scores that Milvus gives are from the exact ones, at most, and for how many."""
    tables: Any = getattr(store, "_tables", None)
    if not hasattr(tables, "search"):
        return "none"
    where = f"has_template == true and {alive(MilvusState.read(tables).changes)}"
    off = []
    for probe, hits in zip(probes_PD, tables.search(probes_PD, BEST, where, ("vector",)), strict=True):
        for hit in hits:
            off.append(abs(hit["distance"] - float(np.array(hit["vector"], np.float32).astype(np.float64) @ probe)))
    return f"{max(off):.1g} ({sum(one > 0 for one in off)} of {len(off)} differ)"


def timed(act: Any) -> tuple[float, Any]:
    started = time.perf_counter()
    found = act()
    return time.perf_counter() - started, found


def unit(count: int, size: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


if __name__ == "__main__":
    main()
