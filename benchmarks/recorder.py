"""What the flight recorder costs: steps with it and without, interleaved, and bytes a visit.

Claim: recording every visit costs at most 1 % of a training step's processor time, compression and writing included.

Two figures: the ratio of neighbouring blocks of whole steps, which a busy machine blurs by more than 1 %, and the sum
of what the recorder adds, each part measured by itself: finding the class of the hardest negative, copying the numbers
of a step, and compressing and writing them. Processor time of all threads, on one thread of torch.
`python benchmarks/recorder.py [rounds]`
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measure import interleaved, machine, ratio

from facemargin.data.training_set import TrainingBatch
from facemargin.heads import create_head
from facemargin.heads.softmax_terms import shard_terms
from facemargin.recording.columns import NUMBERS, visits_files
from facemargin.recording.writer import GROUP_ROWS, RecordingWriter
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step
from facemargin.training.visits import Visits, recorded_numbers

# Backbone, batch, classes, steps of a block.
CASES = [("mobilefacenet", 16, 10_572, 1), ("mobilefacenet", 16, 93_431, 1), ("ir_18", 16, 10_572, 1)]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.set_num_threads(1)
    print(f"{machine()}; torch {torch.__version__}; float32, FunFace\n")
    write = cost_of_writing()
    print(
        "| backbone, batch × classes | s a step | with / without, interleaved | hardest class | copy | write | added |"
    )
    print("|---|---|---|---|---|---|---|")
    for case in CASES:
        print(row(*case, rounds=rounds, write=write), flush=True)
    print()
    for precision in ("float16", "float32"):
        raw, stored = bytes_of_a_visit(precision)
        print(f"{precision}: {raw} bytes a visit raw, {stored:.1f} compressed")


def row(backbone: str, batch_size: int, classes: int, steps: int, rounds: int, write: float) -> str:
    """A line of the table."""
    batch = random_batch(batch_size, classes)
    blocks: dict[str, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, recorder in (("without", False), ("with", True)):
            blocks[name] = block(backbone, batch, classes, steps, recorder, Path(folder) / name)
        seconds = interleaved(blocks, rounds, time.process_time)
    middle, low, high = ratio(seconds["with"], seconds["without"])
    step = statistics.median(seconds["without"]) / steps
    hardest, copy = cost_of_class(batch_size, classes), cost_of_copy(batch_size, classes)
    parts = [part / step for part in (hardest, copy, write * batch_size)]
    texts = " | ".join(f"{part:.3%}" for part in (*parts, sum(parts)))
    return f"| {backbone}, {batch_size} × {classes:,} | {step:.3f} | {middle:.4f} ({low:.4f}–{high:.4f}) | {texts} |"


def block(
    backbone: str, batch: TrainingBatch, classes: int, steps: int, recorder: bool, folder: Path
) -> Callable[[], None]:
    """Takes some steps and, with a recorder, waits until all is written."""
    mapping = {
        "head": {"name": "funface"},
        "backbone": {"name": backbone},
        "data": {"train": "orl:1-3"},
        "precision": "float32",
        "batch_size": len(batch),
        "recorder": recorder,
    }
    state = TrainingState(recipe_from_mapping(mapping, "the benchmark"), classes, torch.device("cpu"))
    writer = RecordingWriter(folder, 0, "float16", {"processes": 1}) if recorder else None

    def take() -> None:
        for _ in range(steps):
            visits = training_step(state, batch, 1e-3).visits
            if writer is not None and visits is not None:
                writer.add(visits.step, visits.columns())
        if writer is not None:
            assert writer.close_file(state.step) is None

    return take


def cost_of_class(batch_size: int, classes: int) -> float:
    """Seconds by which the head's forward pass is longer where it also finds the hardest class."""
    generator = torch.Generator().manual_seed(0)
    x_BD = torch.nn.functional.normalize(torch.randn(batch_size, 512, generator=generator))
    w_CD = torch.randn(classes, 512, generator=generator)
    y_B = torch.randint(0, classes, (batch_size,), generator=generator)
    scale_B = torch.full((batch_size,), 64.0)
    functions = {
        name: lambda wanted=wanted: shard_terms(x_BD, w_CD, y_B, scale_B, None, "auto", hardest_class=wanted)
        for name, wanted in (("without", False), ("with", True))
    }
    seconds = interleaved(functions, 15, time.process_time)
    return max(0.0, min(seconds["with"]) - min(seconds["without"]))


def cost_of_copy(batch_size: int, classes: int) -> float:
    """Seconds that the host spends on the rows of a step."""
    head = create_head("funface", classes, 512, hardest_class=True)
    out = head(torch.randn(batch_size, 512), torch.randint(0, classes, (batch_size,)))
    sample_B = torch.arange(batch_size)
    with tempfile.TemporaryDirectory() as folder:
        writer = RecordingWriter(Path(folder), 0, "float16", {"processes": 1})

        def copy() -> None:
            for step in range(100):
                visits = Visits(step, sample_B, [recorded_numbers(out)], late=False)
                writer.add(step, visits.columns())

        seconds = interleaved({"copy": copy}, 5, time.process_time)["copy"]
        writer.finish(0, keep=False)
    return min(seconds) / 100


def random_visits(rows: int) -> dict[str, np.ndarray]:
    """As of 5,000,000 images of 93,431 people, visited once each: no two alike, which compresses worst."""
    generator = np.random.default_rng(0)
    means, widths = (22.0, 0.6, 18.0, 0.3), (5.0, 0.15, 3.0, 0.07)
    numbers = {
        name: generator.normal(mean, width, rows).astype(np.float32)
        for name, mean, width in zip(NUMBERS, means, widths, strict=True)
    }
    sample = generator.permutation(5_000_000)[:rows]
    return {"sample": sample, **numbers, "hardest_class": generator.integers(0, 93_431, rows)}


def written(precision: str, folder: Path) -> Path:
    """The file of 2¹⁹ visits in steps of 512."""
    writer = RecordingWriter(folder, 0, precision, {"processes": 1})
    visits = random_visits(4 * GROUP_ROWS)
    for step, first in enumerate(range(0, 4 * GROUP_ROWS, 512), start=1):
        writer.add(step, {name: values[first : first + 512] for name, values in visits.items()})
    writer.close_file(step)
    writer.finish(step, keep=False)
    return next(iter(visits_files(folder).values()))


def cost_of_writing() -> float:
    """Seconds a visit to compress and write."""
    visits = random_visits(GROUP_ROWS)
    with tempfile.TemporaryDirectory() as folder:
        writer = RecordingWriter(Path(folder), 0, "float16", {"processes": 1})
        group = writer._new_group()
        for name, values in visits.items():
            group[name][:] = values
        group["step"][:] = np.arange(GROUP_ROWS) // 512
        seconds = interleaved({"write": lambda: writer._write(group, GROUP_ROWS)}, 7, time.process_time)["write"]
        writer.finish(0, keep=False)
    return statistics.median(seconds) / GROUP_ROWS


def bytes_of_a_visit(precision: str) -> tuple[int, float]:
    """Bytes of a visit before compression, and in the file."""
    with tempfile.TemporaryDirectory() as folder:
        size = written(precision, Path(folder)).stat().st_size
    return (20 if precision == "float16" else 28), size / (4 * GROUP_ROWS)


def random_batch(size: int, classes: int) -> TrainingBatch:
    generator = np.random.default_rng(0)
    return TrainingBatch(
        images_BCHW=torch.from_numpy(generator.integers(0, 256, (size, 3, 112, 112), dtype=np.uint8)),
        labels_B=torch.from_numpy(generator.integers(0, classes, size)),
        indices_B=torch.arange(size),
        corrupt=[],
    )


if __name__ == "__main__":
    main()
