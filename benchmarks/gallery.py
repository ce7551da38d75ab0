"""A gallery of a million people: how fast people are enrolled, opened and searched, beside FAISS and the bare product.

Made-up unit vectors, one image a person. Searches alternate in one process: ours; FAISS's exact flat index
(`pip install faiss-cpu`, not needed by facemargin); and the bare product of all rows and the probe, with the best five.
Answers of all three are compared. Cold: the files are out of the system's cache.

    python benchmarks/gallery.py [--people 1000000] [--size 512] [--rounds 40] [--folder DIR]

Shapes: R people, D values of a vector.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measure import interleaved, machine, peak_extra_memory
from rich.console import Console

from facemargin.gallery.binding import Binding
from facemargin.gallery.folder_store import FolderStore
from facemargin.gallery.store import NewImage
from facemargin.tables import Table

BEST = 5
AT_A_TIME = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--folder", type=Path, help="where to make the gallery; needs 8 bytes a value twice over")
    args = parser.parse_args()
    console = Console(width=120)
    console.print(machine())
    place = Path(tempfile.mkdtemp(dir=args.folder))
    try:
        measure(place / "gallery", args.people, args.size, args.rounds, console)
    finally:
        shutil.rmtree(place)


def measure(folder: Path, people: int, size: int, rounds: int, console: Console) -> None:
    fingerprint = np.linspace(-1, 1, size).tolist()
    binding = Binding("made-up", fingerprint, size, "norm", "flip", True, "made up", None, None, "2026", "0")
    store = FolderStore.create(folder, binding)
    seconds = 0.0
    for first in range(0, people, AT_A_TIME):
        images = {f"person {first + n}": [NewImage(v, 1.0, 1.0)] for n, v in enumerate(unit(AT_A_TIME, size, first))}
        started = time.perf_counter()
        store.add(images)
        seconds += time.perf_counter() - started
    store.close()
    console.print(f"enrolled: {people / seconds:,.0f} people a second, {AT_A_TIME:,} with each change of the gallery")
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    probe = unit(1, size, people + 1)
    cold, store = timed(lambda: FolderStore(folder))
    first_search, _ = timed(lambda: store.search(probe, BEST))
    warm, again = timed(lambda: FolderStore(folder))
    again.close()
    console.print(
        f"opened: cold {cold:.3f} s, warm {warm:.3f} s; the first search, from the disk, {first_search:.1f} s"
    )
    rows_RD = store._current().templates_RD
    import faiss

    index = faiss.IndexFlatIP(size)
    index.add(np.asarray(rows_RD))
    probes = unit(rounds + 1, size, people + 2)
    answers: dict[str, list[list[int]]] = {"ours": [], "FAISS flat": [], "bare product": []}

    def next_probe(name: str) -> np.ndarray:
        return probes[len(answers[name])][None]

    def ours() -> None:
        found = store.search(next_probe("ours"), BEST)
        answers["ours"].append((found.people_PK[0] - 1).tolist())

    def flat() -> None:
        answers["FAISS flat"].append(index.search(next_probe("FAISS flat"), BEST)[1][0].tolist())

    def bare() -> None:
        scores_R = rows_RD @ next_probe("bare product")[0]
        best = np.argpartition(scores_R, -BEST)[-BEST:]
        answers["bare product"].append(best[np.argsort(-scores_R[best])].tolist())

    seconds_of = interleaved({"ours": ours, "FAISS flat": flat, "bare product": bare}, rounds)
    table = Table("search of one probe", "p50", "p95", "memory", title=f"{people:,} people, {size} values")
    memory = {"ours": peak_extra_memory(ours_again(store, probe)), "FAISS flat": rows_RD.nbytes / 2**20}
    for name, times in seconds_of.items():
        low, high = np.quantile(times, [0.5, 0.95])
        more = f"{memory[name]:,.0f} MiB" if name in memory else ""
        table.add_row(name, f"{1000 * low:,.0f} ms", f"{1000 * high:,.0f} ms", more)
    console.print(table)
    console.print("memory: what a search takes beside the mapped file, which the system may drop; FAISS's own copy")
    same = sum(a == b for a, b in zip(answers["ours"], answers["FAISS flat"], strict=True))
    console.print(f"the best {BEST} are the same as FAISS's for {same} of {len(answers['ours'])} probes")
    many = unit(64, size, people + 9)
    together = timed(lambda: store.search(many, BEST))[0]
    console.print(f"64 probes together: {1000 * together / 64:,.0f} ms a probe")
    store.close()


def ours_again(store: FolderStore, probe: np.ndarray) -> Callable[[], object]:
    return lambda: store.search(probe, BEST)


def unit(count: int, size: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1)[:, None]


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    result = function()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
