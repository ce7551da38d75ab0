"""Everything that a GPU must show, in one run of a few minutes: right results first, then the figures, each part in a
process of its own (cudnn keeps its choices, and CUDA its memory, as long as a process lives).

    python benchmarks/gpu.py [PART …] [--seconds 400]

Prints a line per figure and a Markdown table at the end, also written to $OUT/gpu.md where OUT is set. Without a GPU it
runs small sizes, to try the script itself. Shapes: B samples, C classes, D feature values.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F
from training_step import random_batch
from triton_head import funface

import facemargin as fm
from facemargin.data.augmentation.augment import draw_augmentation
from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.training_set import TrainingBatch
from facemargin.margins.base import create_margin
from facemargin.models.info import ModelInfo
from facemargin.models.recognizer import create_recognizer
from facemargin.randomness import sample_generator
from facemargin.training import trainer
from facemargin.training.device import device_settings, fix_workspace
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
B, C, D = (1024, 205_990, 512) if CUDA else (32, 510, 64)
BATCH = 512 if CUDA else 2
NETWORKS = ("ir_50", "ir_101") if CUDA else ("ir_18",)
CLASSES = 93_431 if CUDA else 50
MARKER = "RESULT "


def report(name: str, value: float | str, unit: str = "", note: str = "") -> None:
    """Print a figure where the main process finds it."""
    print(
        MARKER + json.dumps([name, value if isinstance(value, str) else float(f"{value:.4g}"), unit, note]), flush=True
    )


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def seconds_each(function: Callable[[], object], queued: int, repeats: int = 5, warm: int = 2) -> float:
    """Median seconds a call, of `repeats` series of `queued` calls one after the other: with many, the host's work for
    the next hides behind the device's for this one, as in training; with one, it doesn't."""
    for _ in range(warm):
        function()
    times = []
    for _ in range(repeats):
        wait()
        started = time.perf_counter()
        for _ in range(queued):
            function()
        wait()
        times.append((time.perf_counter() - started) / queued)
    return sorted(times)[len(times) // 2]


def correctness() -> None:
    """Every margin with every implementation and precision against float64 on the CPU."""

    def computed(margin: str, device: torch.device, dtype: torch.dtype, **options: Any) -> list[Tensor]:
        generator = torch.Generator().manual_seed(1)
        head = fm.create_head(margin, 3001, 128, generator=generator, **options).to(device=device, dtype=dtype)
        features = (8 * torch.randn(300, 128, generator=generator, dtype=torch.float64)).to(device, dtype)
        features.requires_grad_()
        labels = torch.randint(-1, 3001, (300,), generator=generator)
        output = head(features, labels.to(device))
        output.loss.backward()
        return [value.detach().double().cpu() for value in (output.loss, features.grad, head.weight.grad)]

    ways: list[tuple[str, dict[str, Any]]] = [("eager", {}), ("chunked", {}), ("recomputed", {})]
    ways += [("triton", {}), ("triton", {"backward": "bf16"})]
    worst: dict[tuple[str, str], tuple[float, str]] = {}
    for margin in fm.list_margins():
        exact = computed(margin, torch.device("cpu"), torch.float64, implementation="eager")
        for precision in ("highest", "high"):
            torch.set_float32_matmul_precision(precision)
            for implementation, options in ways:
                if implementation == "triton" and (not CUDA or create_margin(margin).binary):  # no kernels for these
                    continue
                found = computed(margin, DEVICE, torch.float32, implementation=implementation, **options)
                error = max(float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True))
                key = (" ".join([implementation, *options.values()]), precision)
                worst[key] = max(worst.get(key, (0.0, "")), (error, margin))
    for (implementation, precision), (error, margin) in worst.items():
        products = "float32" if precision == "highest" else "TF32"
        bar = 5e-3 if "bf16" in implementation else 2e-5 if precision == "highest" else 3e-3
        verdict = "" if error < bar else "TOO LARGE; "
        report(f"error of {implementation}, {products}", error, "", f"{verdict}largest relative, of {margin}")


def head_at(implementation: str, classes: int, backward: str = "float32") -> Any:
    """A FunFace head of that many classes, drawn on the device."""
    with torch.device(DEVICE):
        weight = nn.Parameter(torch.randn(classes, D) / D**0.5)
    return funface(implementation, weight, backward)


def heads() -> None:
    """A head's forward and backward against the three products that nothing can do without."""
    torch.set_float32_matmul_precision("high")
    x_BD = F.normalize(torch.randn(B, D, device=DEVICE))
    products = {}
    for name, classes in (("as it is", C), ("padded to a multiple of 64", -(-C // 64) * 64)):
        w_CD = torch.randn(classes, D, device=DEVICE)
        logits_BC, grad_BD, grad_CD = (
            torch.empty(B, classes, device=DEVICE),
            torch.empty_like(x_BD),
            torch.empty_like(w_CD),
        )
        parts = {
            "x·Wᵀ": lambda w=w_CD, out=logits_BC: torch.mm(x_BD, w.T, out=out),
            "G·W": lambda w=w_CD, g=logits_BC, out=grad_BD: torch.mm(g, w, out=out),
            "Gᵀ·x": lambda g=logits_BC, out=grad_CD: torch.mm(g.T, x_BD, out=out),
        }
        each = {part: seconds_each(function, queued=5) * 1e3 for part, function in parts.items()}
        products[name] = sum(each.values())
        report(f"three products, C {name}", products[name], "ms", ", ".join(f"{k} {v:.2f}" for k, v in each.items()))
        del w_CD, logits_BC, grad_BD, grad_CD, parts
    labels = torch.randint(0, C, (B,))
    ways: list[tuple[str, dict[str, Any]]] = [("triton", {}), ("triton", {"backward": "bf16"})] if CUDA else []
    ways += [("chunked", {}), ("recomputed", {}), ("eager", {})]
    for implementation, options in ways:
        head, features = head_at(implementation, C, **options), (20 * x_BD).clone().requires_grad_()

        def step(head: fm.Head = head, features: Tensor = features) -> None:
            features.grad = head.weight.grad = None
            head(features, labels).loss.backward()

        if CUDA:
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        queued, alone = (seconds_each(step, queued=count) * 1e3 for count in (10, 1))
        memory = f"; +{(torch.cuda.max_memory_allocated() - before) / 2**20:,.0f} MiB" if CUDA else ""
        ratios = ", ".join(f"{queued / value:.2f} × ({name})" for name, value in products.items())
        label = " ".join([implementation, *(f"{k} {v}" for k, v in options.items())])
        report(f"head {label}", queued, "ms", f"{ratios} the products; {alone:.2f} ms one at a time{memory}")
        del head, features, step


def ten_million() -> None:
    """Ten million classes on one card."""
    classes, batch = (10_000_000, 512) if CUDA else (1000, 8)
    torch.set_float32_matmul_precision("high")
    labels = torch.randint(0, classes, (batch,))
    labels[:2] = torch.tensor([0, classes - 1])
    for implementation in ("triton", "chunked") if CUDA else ("chunked",):
        head = head_at(implementation, classes)
        features = torch.randn(batch, D, device=DEVICE).requires_grad_()

        def step(head: fm.Head = head, features: Tensor = features) -> None:
            features.grad = head.weight.grad = None
            head(features, labels).loss.backward()

        if CUDA:
            torch.cuda.reset_peak_memory_stats()
        milliseconds = seconds_each(step, queued=2, repeats=3, warm=1) * 1e3
        last = head.weight.grad[-1]
        right = bool(last.isfinite().all() and (last != 0).any())
        memory = f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if CUDA else ""
        wrong = "" if right else "; THE LAST ROW HAS NO GRADIENT"
        report(f"{classes:,} classes, {implementation}, B = {batch}", milliseconds, "ms", memory + wrong)
        del head, features, step
        if CUDA:
            torch.cuda.empty_cache()


def batch_of(size: int, classes: int) -> TrainingBatch:
    """A batch as the loader hands it over: in page-locked memory for a GPU."""
    batch = random_batch(size, classes)
    return batch.pin_memory() if CUDA else batch


def state_of(network: str, size: int, classes: int, **fields: Any) -> TrainingState:
    head = {"name": fields.pop("margin", "funface"), "implementation": fields.pop("implementation", "auto")}
    backbone = {"name": network, "embedding_size": 512}
    recipe = {
        "head": head,
        "backbone": backbone,
        "batch_size": size,
        "device": str(DEVICE),
        "precision": "bf16",
    } | fields
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # as `facemargin train` sets it
    return TrainingState(recipe_from_mapping(recipe, "benchmark"), classes, DEVICE)


def our_step(network: str, **fields: Any) -> None:
    """Images a second of `training_step`, and what the device spends them on."""
    started = time.perf_counter()
    state, batch = state_of(network, BATCH, CLASSES, **fields), batch_of(BATCH, CLASSES)
    results: list[Any] = [None]

    def step() -> None:
        results[0] = training_step(state, batch, 1e-3)

    for _ in range(5 if CUDA else 1):
        step()
    wait()
    ready = time.perf_counter() - started
    seconds = seconds_each(step, queued=8 if CUDA else 1, repeats=5 if CUDA else 1, warm=0)
    memory = f"; peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if CUDA else ""
    label = ", ".join(f"{name} {value}" for name, value in ({"precision": "bf16"} | fields).items())
    note = f"loss {results[0].loss:.2f}{memory}; ready after {ready:.0f} s"
    report(f"training step {network}, {label}", BATCH / seconds, "images/s", note)
    if CUDA and os.environ.get("OUT"):
        from torch.profiler import ProfilerActivity, profile

        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
            step()
            step()
            wait()
        averages = profiler.key_averages()
        tables = [averages.table(sort_by=f"self_{kind}_time_total", row_limit=30) for kind in ("cuda", "cpu")]
        Path(os.environ["OUT"], f"profile_{network}_{'_'.join(map(str, fields.values()))}.txt").write_text(
            "\n".join(tables)
        )


def plain_step(network: str) -> None:
    """The loop of a research script: fp16 autocast, contiguous images, GradScaler, a dense head in one-hot form, the
    loss read at every step. Its head in fp16 makes it faster than the PlainLoop of training_step.py."""
    torch.backends.cudnn.benchmark = True
    backbone = fm.create_backbone(network, embedding_size=512).to(DEVICE).train()
    centers_CD = nn.Parameter(0.01 * torch.randn(CLASSES, 512, device=DEVICE))
    optimizer = torch.optim.SGD([*backbone.parameters(), centers_CD], lr=1e-3, momentum=0.9, weight_decay=5e-4)
    scaler = torch.amp.GradScaler(DEVICE.type, enabled=CUDA)
    batch = batch_of(BATCH, CLASSES)
    images = batch.images_BCHW.float().sub(127.5).div(127.5).contiguous()
    images = images.pin_memory() if CUDA else images

    def step() -> None:
        on_device, labels = images.to(DEVICE, non_blocking=True), batch.labels_B.to(DEVICE, non_blocking=True)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, dtype=torch.float16, enabled=CUDA):
            cosines = F.linear(F.normalize(backbone(on_device)), F.normalize(centers_CD)).float()
        logits = 64 * (cosines - 0.35 * F.one_hot(labels, CLASSES).to(cosines.dtype))
        loss = F.cross_entropy(logits, labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(backbone.parameters(), 5.0)
        scaler.step(optimizer)
        scaler.update()
        loss.item()

    seconds = seconds_each(step, queued=8 if CUDA else 1, repeats=3 if CUDA else 1, warm=5 if CUDA else 1)
    memory = f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if CUDA else ""
    report(f"plain fp16 loop {network}", BATCH / seconds, "images/s", memory)


def waits() -> None:
    """How often the host waits for the device in a step, by torch's own detector."""
    if not CUDA:
        return
    for margin in fm.list_margins():
        state, batch = state_of("ir_18", 64, 5000, margin=margin, compile=False), batch_of(64, 5000)
        results = [training_step(state, batch, 1e-3) for _ in range(3)]
        wait()
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            training_step(state, batch, 1e-3)
        torch.cuda.set_sync_debug_mode("default")
        waits = [one for one in caught if "synchronizing" in str(one.message) and "prototype" not in str(one.message)]
        places = sorted({f"{one.filename.split('facemargin/')[-1]}:{one.lineno}" for one in waits})
        report(f"waits in a step, {margin}", len(waits), "", ", ".join(places))
        del state, results


def augmentation() -> None:
    """The strongest augmentation of a batch on the device: its result, and what it takes."""
    config = fm.load_recipe("funface_ms1mv2").augmentation
    draws = [draw_augmentation(112, 112, config, sample_generator(0, 0, index)) for index in range(BATCH)]
    host = torch.randint(0, 256, (BATCH, 3, 112, 112), dtype=torch.uint8)
    images = host.to(DEVICE)
    difference = (augment_batch(images, draws).cpu().short() - augment_batch(host, draws).short()).abs()
    report(
        "augmentation, from the CPU's",
        int(difference.max()),
        "grey levels",
        f"{(difference > 0).float().mean():.1e} of the values",
    )
    wait()
    started = time.perf_counter()
    augment_batch(images, draws)
    queued = time.perf_counter() - started
    report(
        "augmentation of a batch",
        1e3 * seconds_each(lambda: augment_batch(images, draws), 1),
        "ms",
        f"{1e3 * queued:.1f} ms of the host",
    )


def embedding() -> None:
    """Model.embed of images in memory, with mirrored views, and whether bf16 is as good."""
    network = NETWORKS[0]
    info = ModelInfo(backbone=network, options={}, embedding_size=512, input_size=112, loss="funface")
    recognizer = create_recognizer(info)
    images = [
        np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8) for _ in range(4096 if CUDA else 4)
    ]
    vectors = {}
    for precision in ("float32", "bf16"):
        model = fm.models.Model(recognizer, info, DEVICE, precision)
        model.embed(images[: 512 if CUDA else 2])
        started = time.perf_counter()
        vectors[precision] = model.embed(images).vectors
        report(
            f"embedding {network} in {precision}",
            len(images) / (time.perf_counter() - started),
            "images/s",
            "two views each",
        )
    cosines = (vectors["bf16"] * vectors["float32"]).sum(1)
    report("bf16 against float32", float(cosines.min()), "", "smallest cosine")


def write_faces(folder: Path, people: int, each: int) -> None:
    generator = np.random.default_rng(0)
    for person in range(people):
        small = generator.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        face = cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC).astype(int)
        (folder / f"person{person:04}").mkdir(parents=True)
        for index in range(each):
            picture = np.clip(face + generator.integers(-20, 20, face.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / f"person{person:04}" / f"{index}.jpg"), picture)


def steady() -> None:
    """`fm.train` on JPEG files once it has started, with augmentation on the device and in the workers, and with the
    recorder: the time between steps, and how much of it the host is busy."""
    workers, epochs = (max((os.cpu_count() or 2) - 3, 1), 7) if CUDA else (1, 2)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_faces(root / "faces", *((256, 40) if CUDA else (4, 4)))
        for where, recorder in (("device", False), ("cpu", False), ("cpu", True)):
            recipe = fm.load_recipe(
                "funface_ms1mv2",
                backbone={"name": NETWORKS[0]},
                data={"train": str(root / "faces"), "workers": workers, "augment_on": where},
                checkpoint={"every_steps": 10**6},
                batch_size=BATCH if CUDA else 8,
                precision="bf16" if CUDA else "float32",
                compile=False,
                epochs=epochs,
                recorder=recorder,
            )
            begun, done = [], []

            def timed(*given: Any, begun: list[float] = begun, done: list[float] = done) -> Any:
                begun.append(time.perf_counter())
                result = training_step(*given)
                done.append(time.perf_counter())
                return result

            trainer.training_step = timed  # type: ignore[attr-defined]
            fm.train(recipe, root / f"{where}-{recorder}", console=Console(quiet=True))
            trainer.training_step = training_step  # type: ignore[attr-defined]
            warm = len(begun) // 5
            between = statistics.median(b - a for a, b in pairwise(begun[warm:]))
            host = statistics.median(b - a for a, b in zip(begun[warm:], done[warm:], strict=True))
            report(
                f"fm.train {NETWORKS[0]}, augmentation on {where}{', recorder' if recorder else ''}",
                recipe.batch_size * (len(begun) - 1 - warm) / (begun[-1] - begun[warm]),
                "images/s",
                f"{1e3 * between:.1f} ms between steps, in which a step's calls take {1e3 * host:.1f} ms",
            )


def verbs() -> None:
    """`facemargin train` and `facemargin embed`, on generated JPEG files."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        people, each, epochs = (256, 40, 8) if CUDA else (4, 4, 1)
        write_faces(root / "faces", people, each)
        recipe = ["funface_ms1mv2", "--backbone.name", NETWORKS[0], "--precision", "bf16", "--compile", "False"]
        recipe += ["--batch_size", str(BATCH), "--data.workers", str(max((os.cpu_count() or 2) - 2, 0))]
        train = ["train", *recipe] if CUDA else ["train", "small_cpu", "--batch_size", "8"]
        train += ["--data.train", str(root / "faces"), "--epochs", str(epochs), "--output", str(root / "run")]
        embed = ["embed", str(root / "run"), str(root / "faces"), "--output", str(root / "embeddings.npz")]
        for verb, limit in ((train, 120), (embed, 60)):
            started = time.perf_counter()
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "facemargin", *verb],
                    capture_output=True,
                    text=True,
                    timeout=limit,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                report(f"facemargin {verb[0]}", "too slow", "", f"stopped after {limit} s")
                continue
            lines = (done.stdout + done.stderr).strip().splitlines()
            print("\n".join(lines[-6:]), flush=True)
            count = people * each * (epochs if verb is train else 1)
            said = next((line for line in lines if "trained" in line), "")
            report(
                f"facemargin {verb[0]}",
                time.perf_counter() - started,
                "s",
                f"{count:,} images, exit {done.returncode}; {said}",
            )


def deterministic() -> None:
    """Ten steps twice with `deterministic: true`: whether the weights are the same to the last bit."""
    fix_workspace()
    batches = [batch_of(64 if CUDA else 2, 1000) for _ in range(4)]
    weights = []
    for _ in range(2):
        with device_settings(DEVICE, deterministic=True):
            state = state_of("ir_18", len(batches[0]), 1000, deterministic=True, compile=False)
            torch.backends.cudnn.benchmark = False
            for number in range(10 if CUDA else 2):
                result = training_step(state, batches[number % 4], 0.01)
            assert result.loss > 0
            weights.append(torch.cat([weight.detach().flatten() for weight in state.recognizer.parameters()]).cpu())
    difference = (weights[0] - weights[1]).abs().max()
    report("deterministic: true, ten steps twice", float(difference), "", "largest difference of a weight")


PARTS: dict[str, Callable[[], None]] = {
    "correctness": correctness,
    "heads": heads,
    "waits": waits,
    **{f"{network}_plain": lambda network=network: plain_step(network) for network in NETWORKS},
    **{f"{network}_bf16": lambda network=network: our_step(network, compile=False) for network in NETWORKS},
    "fp16": lambda: our_step(NETWORKS[0], precision="fp16", compile=False),
    "deterministic": deterministic,
    "ten_million": ten_million,
    "augmentation": augmentation,
    "embedding": embedding,
    "steady": steady,
    "verbs": verbs,
    "compiled": lambda: our_step(NETWORKS[0], compile=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; by default all")
    parser.add_argument("--seconds", type=float, default=1e9, help="start no part after that many")
    parser.add_argument("--here", action="store_true", help="in this process (what the others are started with)")
    options = parser.parse_args()
    if options.here:
        for part in options.parts:
            PARTS[part]()
        return
    started, rows = time.perf_counter(), []
    device = torch.cuda.get_device_name() if CUDA else "CPU"
    print(f"{device}, torch {torch.__version__}", flush=True)
    for part in options.parts or PARTS:
        if time.perf_counter() - started > options.seconds:
            print(f"no time left for {part}", flush=True)
            continue
        print(f"== {part} after {time.perf_counter() - started:.0f} s", flush=True)
        command = [sys.executable, __file__, part, "--here"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                if line.startswith(MARKER):
                    rows.append(json.loads(line.removeprefix(MARKER)))
        if process.returncode:
            rows.append([part, "FAILED", "", f"exit {process.returncode}"])
    table = [f"{device}, torch {torch.__version__}", "", "| what | figure | |", "|---|---|---|"]
    table += [f"| {name} | {value} {unit} | {note} |" for name, value, unit, note in rows]
    print("\n".join(table))
    if os.environ.get("OUT"):
        Path(os.environ["OUT"], "gpu.md").write_text("\n".join(table) + "\n")


if __name__ == "__main__":
    main()
