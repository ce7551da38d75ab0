"""The service beside a plain Python loop with the same model: requests a second, and how long they take.

A real service on this machine, asked by 1, 8 and 64 clients at a time for /v1/verify with two JPEG files each, and in
between, in this process, the loop `fm.verify(model, a, b)` over the same files. Processor time is the service's, and
the loop's; on a busy machine it says more than requests a second. With --soak MINUTES, 8 clients ask for
so long and the service's memory is looked at; with --hostile N, N requests try to break it.

    python benchmarks/serve.py [--models sface small_resnet] [--seconds 10] [--rounds 3] [--soak 10] [--hostile 2000]
"""

import argparse
import collections
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from hostile_requests import ENDS_EARLY, ask, hostile_requests
from measure import machine
from rich.console import Console

import facemargin as fm
from facemargin.serving.keys import create_key
from facemargin.tables import Table

CLIENTS = (1, 8, 64)
NETWORK = """
import torch
import facemargin as fm

def model():
    torch.manual_seed(0)
    backbone = fm.create_backbone("{name}").eval()
    return fm.wrap(backbone, input_size=backbone.input_size)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["sface", "small_resnet"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, default=0.0, help="minutes")
    parser.add_argument("--hostile", type=int, default=0, help="requests")
    args = parser.parse_args()
    console = Console(width=120)
    console.print(machine(), f"torch uses {torch.get_num_threads()} threads")
    folder = Path(tempfile.mkdtemp())
    try:
        pictures = _pictures()
        for name in args.models:
            compare(folder, name, pictures, args.seconds, args.rounds, console)
        if args.soak:
            soak(folder, args.models[0], pictures, args.soak, console)
        if args.hostile:
            break_it(folder, args.models[0], pictures, args.hostile, console)
    finally:
        shutil.rmtree(folder)


def compare(folder: Path, name: str, pictures: Sequence[bytes], seconds: float, rounds: int, console: Console) -> None:
    path, model = _model(folder, name)
    found: dict[str, list[tuple[float, ...]]] = collections.defaultdict(list)
    with served(folder, path, "--deadline", 600) as (url, process):
        client = fm.Client(url, timeout=600)
        pairs = list(itertools.pairwise(pictures))
        worst = max(abs(client.verify(a, b).score - fm.verify(model, a, b).score) for a, b in pairs)
        for _ in range(rounds):
            found["a plain loop"].append(
                _load(lambda a, b: fm.verify(model, a, b), 1, seconds, pictures, time.process_time)
            )
            for clients in CLIENTS:
                found[f"{clients} at a time"].append(
                    _load(client.verify, clients, seconds, pictures, lambda: _processor_seconds(process))
                )
    columns = ("clients", "requests/s", "× the loop", "p50", "p95", "processor time", "× the loop")
    table = Table(*columns, title=f"{name}: two pictures a request, {rounds} rounds")
    loop = found["a plain loop"]
    for what, runs in found.items():
        rate, p50, p95, processor = (statistics.median(column) for column in zip(*runs, strict=True))
        spread = f"{min(run[0] for run in runs):.1f}–{max(run[0] for run in runs):.1f}"
        times = [statistics.median(run[of] / base[of] for run, base in zip(runs, loop, strict=True)) for of in (0, 3)]
        table.add_row(
            what, f"{rate:.1f} ({spread})", f"{times[0]:.2f}", f"{p50:.0f} ms", f"{p95:.0f} ms",
            f"{processor:.0f} ms", f"{times[1]:.2f}",
        )  # fmt: skip
    console.print(table)
    console.print(f"largest difference of a score from the loop's, one client: {worst:.1e}")


def soak(folder: Path, name: str, pictures: Sequence[bytes], minutes: float, console: Console) -> None:
    path, _ = _model(folder, name)
    with served(folder, path) as (url, process):
        client = fm.Client(url)
        _load(client.verify, 8, 20, pictures)  # what is made once is made
        table = Table("minute", "requests/s", "p95", "memory", title=f"{name}: 8 clients for {minutes:g} minutes")
        table.add_row("0", "", "", f"{_memory(process):.0f} MiB")
        for minute in range(1, max(1, round(minutes)) + 1):
            rate, _, p95, _ = _load(client.verify, 8, 60 * minutes / max(1, round(minutes)), pictures)
            table.add_row(str(minute), f"{rate:.1f}", f"{p95:.0f} ms", f"{_memory(process):.0f} MiB")
        console.print(table)


def break_it(folder: Path, name: str, pictures: Sequence[bytes], count: int, console: Console) -> None:
    path, model = _model(folder, name)
    place = folder / "attacked"
    place.mkdir()
    key_file = place / "keys.json"
    keys = [create_key(key_file, "w", ("write", "read")), create_key(key_file, "r", ("read",))]
    fm.Gallery.create(place / "staff", model).close()
    options = [
        "--gallery", f"staff={place / 'staff'}", "--keys", key_file, "--gates", "off", "refuse", "--max-body", 2,
        "--audit-log", place / "searches.jsonl",
    ]  # fmt: skip
    statuses: collections.Counter[str] = collections.Counter()
    bad = 0
    with served(place, path, *options) as (url, process):
        before, begun, memory = _contents(place), time.perf_counter(), _memory(process)
        for kind, request in hostile_requests(1, count, pictures[:4], *keys):
            answer = ask(int(url.rpartition(":")[2]), request, ends=kind in ENDS_EARLY)
            status = answer.split(b" ", 2)[1].decode() if answer.startswith(b"HTTP/1.1 ") else "closed"
            statuses[status] += 1
            if status == "500" or b"Traceback" in answer:
                bad += 1
                console.print(f"{kind}: {answer[:300]!r}")
        seconds = time.perf_counter() - begun
        written = [path for path, content in _contents(place).items() if before.get(path) != content]
        people = len(fm.Client(url, keys[1]).people("staff"))
        console.print(f"{count:,} hostile requests in {seconds:.0f} s: {dict(sorted(statuses.items()))}")
        console.print(
            f"{bad} with 500 or a traceback; files changed: {len(written)} {written}; people enrolled: {people}; "
            f"memory {memory:.0f} MiB before, {_memory(process):.0f} MiB after"
        )


@contextlib.contextmanager
def served(folder: Path, model: str, *options: object) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A service: its address and its process."""
    command = [sys.executable, "-m", "facemargin", "serve", model, "--port", "0", *map(str, options)]
    log = folder / "service.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        while (port := re.search(r'"listening".*"port": (\d+)', log.read_text(errors="replace"))) is None:
            if process.poll() is not None:
                sys.exit(log.read_text(errors="replace"))
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port[1]}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    events = [json.loads(line) for line in log.read_text(errors="replace").splitlines() if line.startswith("{")]
    assert process.returncode == 0 and events[-1]["event"] == "ended"


def _load(
    verify: Callable[[bytes, bytes], object],
    clients: int,
    seconds: float,
    pictures: Sequence[bytes],
    processor: Callable[[], float] = time.process_time,
) -> tuple[float, float, float, float]:
    """Requests a second, the median and the 95th percentile of their milliseconds, and the milliseconds of `processor`
    for each."""
    taken: list[float] = []
    begun, processor_begun = time.perf_counter(), processor()

    def asking(number: int) -> None:
        place = number
        while time.perf_counter() - begun < seconds:
            started = time.perf_counter()
            verify(pictures[place % len(pictures)], pictures[(place + 1) % len(pictures)])
            taken.append(1000 * (time.perf_counter() - started))
            place += 1

    threads = [threading.Thread(target=asking, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p50, p95 = np.percentile(taken, [50, 95])
    used = 1000 * (processor() - processor_begun) / len(taken)
    return len(taken) / (time.perf_counter() - begun), float(p50), float(p95), used


def _processor_seconds(process: subprocess.Popen[bytes]) -> float:
    """Of all threads of a process."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _model(folder: Path, name: str) -> tuple[str, fm.Model]:
    """By what the command line finds it, and the model."""
    if name in fm.list_models():
        return name, fm.load(name)
    (folder / f"{name}.py").write_text(NETWORK.format(name=name))
    torch.manual_seed(0)
    backbone = fm.create_backbone(name).eval()
    return f"{folder / name}.py:model", fm.wrap(backbone, input_size=backbone.input_size)


def _pictures() -> list[bytes]:
    """JPEG files of faces of 112 × 112 pixels."""
    faces = fm.open_images("orl:1-4")
    resized = [cv2.resize(faces.read(number)[:, :, ::-1], (112, 112)) for number in range(40)]
    return [cv2.imencode(".jpg", image)[1].tobytes() for image in resized]


def _contents(folder: Path) -> dict[Path, bytes]:
    own = ("service.log", "searches.jsonl", "writer.lock")
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in own}


def _memory(process: subprocess.Popen[bytes]) -> float:
    """Of a process, what is in memory now, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1024


if __name__ == "__main__":
    main()
