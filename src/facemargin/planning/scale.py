"""What embedding very many images takes, and a gallery of very many people: GPUs, hours, bytes, machines.

Every figure is measured, or derived from a measured one by a ratio that is said; nothing was measured at this size.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from facemargin.backbones import create_backbone
from facemargin.errors import ConfigError
from facemargin.planning.hardware import GPUS, Hardware, Precision
from facemargin.planning.measured import (
    CORE_BF16,
    CORE_FLOAT32,
    DECODING,
    DETECTION,
    H100_BF16,
    H100_FLOAT32,
    IMAGE_ROW,
    JPEG,
    PERSON_ROW,
    SEARCH,
)

_MEASURED_BACKBONE = "ir_50"
_HOUR, _DAY = 3600, 86_400
_CORES_OF_DETECTION, _CORES_OF_SEARCH = 2, 2
_INDEX_BYTES = 8
"""Of a template: the number of its person, int64."""


@dataclass(frozen=True)
class Line:
    """A figure of a plan: `value` in `unit`, by `how`: "measured", "derived" or "exact", and from what."""

    what: str
    value: float
    unit: str
    how: Literal["measured", "derived", "exact"]
    source: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingJob:
    """`images` to embed on `gpus` of a kind, `gpus_per_node` in a machine; `detect`: they are photographs, in which
    the face has to be found."""

    images: int
    backbone: str
    embedding_size: int
    hardware: Hardware
    gpus: int
    gpus_per_node: int
    precision: Precision = "auto"
    views: Literal["one", "two"] = "two"
    detect: bool = False

    def __post_init__(self) -> None:
        for name in ("images", "embedding_size", "gpus", "gpus_per_node"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if self.hardware.device == "cpu":
            raise ConfigError("the plan names what processors need in any case: give a GPU, such as h100")
        if self.precision == "fp16":
            raise ConfigError("precision is fp16, but models embed in bf16 or float32")


@dataclass(frozen=True, kw_only=True)
class GalleryJob:
    """`people` in a gallery with `images_per_person`, on machines with `machine_memory` bytes."""

    people: int
    images_per_person: int
    embedding_size: int
    machine_memory: float

    def __post_init__(self) -> None:
        for name in ("people", "images_per_person", "embedding_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected at least 1")
        if not 0 < self.machine_memory < math.inf:
            raise ConfigError(f"machine_memory is {self.machine_memory}, expected bytes above 0")


def plan_embedding(job: EmbeddingJob) -> list[Line]:
    """The figures of an embedding, in the order in which they are read."""
    rate, core, how, source = _rates(job)
    seconds = job.images / (rate * job.gpus)
    reading = DETECTION if job.detect else DECODING
    cores_each = _CORES_OF_DETECTION if job.detect else 1
    readers = math.ceil(job.gpus * rate / reading.value) * cores_each
    core_seconds = job.images * (1 / core.rate + cores_each / reading.value)
    machines = math.ceil(job.gpus / job.gpus_per_node)
    row = 4 * job.embedding_size + 8
    lines = [
        Line(f"one {job.hardware.name}", rate, "images/s", how, source),
        Line(f"{job.gpus:,} GPUs" if job.gpus > 1 else "1 GPU", seconds / _HOUR, "hours", "derived", "all busy"),
        Line("machines", machines, "machines", "exact", f"{job.gpus_per_node} GPUs in each"),
        Line("GPUs to be done in a day", math.ceil(job.images / rate / _DAY), "GPUs", "derived", "the same rate"),
        Line("cores that read for the GPUs", readers, "cores", "derived", reading.measured),
        Line("without a GPU", core_seconds / _HOUR, "hours of a core", "derived", core.source),
        Line("features, norms, qualities", job.images * row, "bytes", "exact", f"{row:,} bytes an image"),
    ]
    if not job.detect:
        lines += [
            Line("JPEG files of 112 × 112 pixels", job.images * JPEG.value, "bytes", "derived", JPEG.measured),
            Line("to read", rate * job.gpus * JPEG.value, "bytes/s", "derived", "while all GPUs are busy"),
        ]
    return lines


def plan_gallery(job: GalleryJob) -> list[Line]:
    """The figures of a gallery in a folder, and of searches in it."""
    images = job.people * job.images_per_person
    row = 4 * job.embedding_size
    templates = job.people * (row + _INDEX_BYTES)
    tables = job.people * PERSON_ROW.value + images * IMAGE_ROW.value
    searches = SEARCH.value / _CORES_OF_SEARCH * 512 / job.embedding_size / (job.people / 1e6)
    return [
        Line("people", job.people, "people", "exact", f"{images:,} images"),
        Line("templates, which are searched", templates, "bytes", "exact", f"{row + _INDEX_BYTES:,} bytes a person"),
        Line("vectors of the images", images * row, "bytes", "exact", f"{row:,} bytes an image"),
        Line("people and images in SQLite", tables, "bytes", "derived", f"{PERSON_ROW.measured}; {IMAGE_ROW.measured}"),
        Line("on disk", templates + images * row + tables, "bytes", "derived", "the three together"),
        Line(
            "machines that hold the templates",
            math.ceil(templates / job.machine_memory),
            "machines",
            "derived",
            f"{job.machine_memory / 1e9:,.6g} GB of memory for them in each",
        ),
        Line("searches of a core, many at a time", searches, "searches/s", "derived", SEARCH.measured),
        Line("all templates read once", templates, "bytes a search", "exact", "what a search by itself waits for"),
    ]


@dataclass(frozen=True)
class _Core:
    rate: float
    source: str


def _rates(job: EmbeddingJob) -> tuple[float, _Core, Literal["measured", "derived"], str]:
    """Images/s of a GPU, those of a core, and where the GPU's come from."""
    hardware = job.hardware
    bf16 = hardware.precision(job.precision) == "bf16"
    gpu, core = (H100_BF16, CORE_BF16) if bf16 else (H100_FLOAT32, CORE_FLOAT32)
    h100 = GPUS["h100"]
    peak = hardware.flops_16bit / h100.flops_16bit if bf16 else hardware.flops_float32 / h100.flops_float32
    size = 1.0
    if job.backbone != _MEASURED_BACKBONE:
        size = _forward_flops(_MEASURED_BACKBONE, 512) / _forward_flops(job.backbone, job.embedding_size)
    views = 1 if job.views == "two" else 2
    ratios = [
        (peak, f"× {peak:.3g} for the peak of {hardware.name}" if hardware.name != h100.name else ""),
        (size, f"× {size:.3g} for the operations of {job.backbone}" if size != 1 else ""),
        (views, "× 2 for one view" if views == 2 else ""),
    ]
    said = [text for _, text in ratios if text]
    rate = gpu.value * peak * size * views
    core_rate = core.value * size / (2 if job.views == "two" else 1)
    how: Literal["measured", "derived"] = "derived" if said else "measured"
    return rate, _Core(core_rate, core.measured), how, "; ".join([gpu.measured, *said])


def _forward_flops(backbone: str, embedding_size: int) -> int:
    """The floating-point operations of one image, without memory for the network."""
    with FakeTensorMode(), FlopCounterMode(display=False) as counter, torch.no_grad():
        network = create_backbone(backbone, embedding_size).eval()
        network(torch.empty(1, network.in_channels, network.input_size, network.input_size))
    return int(counter.get_total_flops())
