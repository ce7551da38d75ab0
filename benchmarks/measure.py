"""Side-by-side timing: alternate what is compared in one process, report ratios of neighbouring runs."""

import gc
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path


def interleaved(
    functions: dict[str, Callable[[], object]], rounds: int = 7, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds, by `clock`, of every function in each of `rounds` rounds, after one warm-up round."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            gc.collect()
            started = clock()
            function()
            if round_number:
                seconds[name].append(clock() - started)
    return seconds


def ratio(ours: list[float], reference: list[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile of ours/reference, round by round."""
    ratios = [a / b for a, b in zip(ours, reference, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return middle, low, high


def peak_extra_memory(function: Callable[[], object]) -> float:
    """Megabytes that the process grows by, at most, while `function` runs; sampled every millisecond."""
    page = os.sysconf("SC_PAGE_SIZE")

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    done = threading.Event()
    before = peak = resident()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.001):
            peak = max(peak, resident())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        function()
    finally:
        done.set()
        thread.join()
    return (peak - before) / 2**20


def machine() -> str:
    """Processor and cores, for the results."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"
