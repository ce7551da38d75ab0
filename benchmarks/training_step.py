"""A whole training step, images on the host to updated weights, against the plain eager loop.

Claims: on a CPU with bf16 instructions a step of IR-18 with the recipe's defaults (bf16, channels-last) sees more than
twice the images per second of the plain float32 loop; on a GPU (IR-50, IR-101, bf16 against plain fp16) 1.5 times.

The plain loop is what the losses' own repositories do: contiguous images, the FunFace head over whole B×C matrices,
SGD. Decoding and augmentation are left out of both (benchmarks/augmentation.py, `facemargin train --profile`).
`python benchmarks/training_step.py [ir_18] [batch size] [classes]`
"""

import sys
import time
from collections.abc import Callable

import torch
from head_step import dense_funface
from measure import interleaved, machine, ratio
from torch import nn

from facemargin import create_backbone
from facemargin.data.training_set import TrainingBatch
from facemargin.training.config import Recipe
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.state import TrainingState
from facemargin.training.step import training_step

LEARNING_RATE = 1e-3
OURS = {
    "float32": {"precision": "float32", "channels_last": False},
    "float32, channels-last": {"precision": "float32", "channels_last": True},
    "bf16": {"precision": "bf16", "channels_last": False},
    "bf16, channels-last": {"precision": "bf16", "channels_last": True},
}


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    defaults = ["ir_50", "256", "93431"] if device.type == "cuda" else ["ir_18", "16", "10572"]
    name, batch_size, classes = [*sys.argv[1:], *defaults[len(sys.argv) - 1 :]][:3]
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    on = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{machine()}; {on}; torch {torch.__version__}; {name}, batch {batch_size}, {classes} classes, FunFace")
    batch = random_batch(int(batch_size), int(classes))
    plain = PlainLoop(name, int(classes), device, batch)
    steps: dict[str, Callable[[], object]] = {plain.name: plain.step}
    inference: dict[str, Callable[[], object]] = {plain.name: plain.forward}
    for label, settings in OURS.items():
        state = TrainingState(recipe(name, len(batch), settings), int(classes), device)
        steps[label] = waiting(device, lambda state=state: training_step(state, batch, LEARNING_RATE))
        inference[label] = waiting(device, forward(state, batch))
    report("training", steps, plain.name, len(batch))
    report("inference", inference, plain.name, len(batch))


class PlainLoop:
    """Backbone, dense head, SGD; fp16 autocast with a gradient scaler on a GPU, float32 on a CPU."""

    def __init__(self, name: str, classes: int, device: torch.device, batch: TrainingBatch) -> None:
        torch.manual_seed(0)
        self.name = "plain fp16 loop" if device.type == "cuda" else "plain float32 loop"
        self.device, self.batch = device, batch
        self.network = create_backbone(name, embedding_size=512).to(device)
        self.centers = nn.Parameter(torch.randn(classes, 512, device=device))
        self.parameters = [*self.network.parameters(), self.centers]
        self.optimizer = torch.optim.SGD(self.parameters, lr=LEARNING_RATE, momentum=0.9, weight_decay=5e-4)
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    def step(self) -> None:
        self.network.train()
        images = (self.batch.images_BCHW.to(self.device).float() - 127.5) / 127.5
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            features = self.network(images)
        loss = dense_funface(features.float(), self.centers, self.batch.labels_B.to(self.device))
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        loss.item()

    @torch.inference_mode()
    def forward(self) -> None:
        self.network.eval()
        images = (self.batch.images_BCHW.to(self.device).float() - 127.5) / 127.5
        with torch.autocast(self.device.type, torch.float16, enabled=self.device.type == "cuda"):
            self.network(images).float().cpu()


def forward(state: TrainingState, batch: TrainingBatch) -> Callable[[], object]:
    network = state.recognizer.backbone

    @torch.inference_mode()
    def run() -> torch.Tensor:
        network.eval()
        images = (batch.images_BCHW.to(state.device).float() - 127.5) / 127.5
        if state.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with state.autocast():
            return network(images).float().cpu()

    return run


def recipe(name: str, batch_size: int, settings: dict) -> Recipe:
    mapping = {"head": {"name": "funface"}, "backbone": {"name": name, "embedding_size": 512}, "gradient_clip": 5.0}
    return recipe_from_mapping({**mapping, "batch_size": batch_size, **settings}, "the benchmark")


def random_batch(size: int, classes: int) -> TrainingBatch:
    generator = torch.Generator().manual_seed(0)
    return TrainingBatch(
        images_BCHW=torch.randint(0, 256, (size, 3, 112, 112), generator=generator, dtype=torch.uint8),
        labels_B=torch.randint(0, classes, (size,), generator=generator),
        indices_B=torch.arange(size),
        corrupt=[],
    )


def waiting(device: torch.device, function: Callable[[], object]) -> Callable[[], None]:
    """`function`, and then for the device."""

    def run() -> None:
        function()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def report(what: str, functions: dict[str, Callable[[], object]], reference: str, images: int) -> None:
    """A table of rates and of ratios to the reference, round by round."""
    started = time.perf_counter()
    for function in functions.values():
        function()
    repeats = max(1, round(2 * len(functions) / (time.perf_counter() - started)))  # about two seconds a measurement

    def repeated(function: Callable[[], object]) -> Callable[[], None]:
        return lambda: [function() for _ in range(repeats)] and None

    seconds = interleaved({name: repeated(function) for name, function in functions.items()})
    print(f"\n{what:>26}{'images/s':>12}{'× the plain loop (quartiles)':>32}")
    for name, times in seconds.items():
        middle, low, high = ratio(seconds[reference], times)
        print(
            f"{name:>26}{images * repeats / sorted(times)[len(times) // 2]:12,.1f}{middle:16.2f} ({low:.2f}–{high:.2f})"
        )


if __name__ == "__main__":
    main()
