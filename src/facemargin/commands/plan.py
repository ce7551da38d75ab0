"""`facemargin plan --classes 1e8 --gpus 64 …`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._plan_scale import lines_to_dict, print_lines
from facemargin.commands._plan_tables import plan_to_dict, print_plan
from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_text_atomically
from facemargin.heads import BroadFaceConfig
from facemargin.heads.rounded_products import Backward
from facemargin.planning.backbone_cost import measure_backbone
from facemargin.planning.hardware import Efficiency, Float32Products, Precision, find_hardware
from facemargin.planning.head_buffers import Implementation
from facemargin.planning.job import HeadMemory, Job, Optimizer
from facemargin.planning.machine import Machine
from facemargin.planning.plan import Plan, make_plan
from facemargin.planning.scale import EmbeddingJob, GalleryJob, plan_embedding, plan_gallery


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compute the memory, the exchanged data and the time per step of a training on many GPUs, with the head's centres
    replicated on every GPU (dense), divided among them (class-parallel), or divided and sampled. With --embed or
    --gallery: what embedding many images takes, or a gallery of many people."""

    classes: float | None = None
    """The number of identities of a training, such as 93431 or 1e8. A plan needs this, --embed or --gallery."""
    embed: float | None = None
    """Plan the embedding of so many images instead of a training, such as 1e9."""
    gallery: float | None = None
    """Plan a gallery of so many people instead of a training, such as 1e8."""
    gpus: int = 8
    """The total number of GPUs; each runs one process."""
    gpus_per_node: int = 8
    """The number of GPUs in one machine."""
    gpu: str = "h100"
    """h200, h100, a100_80gb, a100_40gb, v100, l4, rtx_4090; custom or cpu with --flops --memory --bandwidth."""
    backbone: str = "ir_101"
    """A backbone of `facemargin list`."""
    embedding: int = 512
    """Feature values, D."""
    batch: int = 256
    """Images per GPU and step."""
    head: str = "funface"
    """A margin of `facemargin list`."""
    sub_centers: int = 1
    """The centres of a class (head.sub_centers in a recipe)."""
    sample_rate: float = 0.1
    """The share of its classes that a GPU uses in a step with the sampled head."""
    optimizer: Optimizer = "sgd"
    """sgd has momentum."""
    backward: Backward = "float32"
    """The type of the factors in the head's two backward products (head.backward in a recipe)."""
    head_memory: HeadMemory = "none"
    """What the head remembers of earlier batches (memory.name in a recipe)."""
    queue_size: int = BroadFaceConfig.queue_size
    """With --head-memory broadface: how many samples its queue holds (memory.queue_size in a recipe)."""
    recorder: bool = False
    """Plan for a run with the flight recorder (recorder in a recipe)."""
    precision: Precision = "auto"
    """The precision of the backbone. auto is bf16 if the GPU has it, otherwise float32. The head computes in
    float32."""
    float32_products: Float32Products = "tf32"
    """How the GPU multiplies float32 matrices; tf32 rounds them to 10 bits."""
    implementation: Implementation | Literal["auto"] = "auto"
    """How the head computes, as in a recipe."""
    flops: float | None = None
    """TFLOP/s of matrix products, instead of the value of the datasheet."""
    memory: float | None = None
    """GB of a GPU's memory, instead of the value of the datasheet."""
    bandwidth: float | None = None
    """GB/s of that memory."""
    link: float | None = None
    """GB/s that a GPU sends within its node."""
    network: float | None = None
    """GB/s that a whole node sends to others."""
    efficiency: Efficiency = field(default_factory=Efficiency)
    views: Literal["one", "two"] = "two"
    """With --embed: the views of an image that are averaged, one, or two with its mirror image."""
    detect: bool = False
    """With --embed: the images are photographs, in which the face has to be found first."""
    images_per_person: int = 1
    """With --gallery: how many images of a person are enrolled."""
    machine_memory: float = 200.0
    """With --gallery: GB of a machine's memory that templates may take."""
    reserve: float = 0.1
    """The fraction of a GPU's memory left to CUDA, NCCL, workspaces and fragmentation."""
    json: Path | None = None
    """A JSON file for the plan, in bytes and seconds."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "plan", arguments)
    subject = _subject(args)
    if subject != "classes":
        return _plan_scale(args, subject)
    plan = _plan(args)
    if args.json is not None:
        write_text_atomically(args.json, json.dumps(plan_to_dict(plan), indent=2) + "\n")
    print_plan(plan, Console())
    return 0


Subject = Literal["classes", "embed", "gallery"]

_SUBJECTS: tuple[Subject, ...] = ("classes", "embed", "gallery")
# The options that a plan of each subject uses, beside --json.
_USED = {
    "embed": {"gpus", "gpus_per_node", "gpu", "backbone", "embedding", "precision", "flops", "views", "detect"},
    "gallery": {"embedding", "images_per_person", "machine_memory"},
}
_OF_CUSTOM = {"memory", "bandwidth"}  # which hardware that is not in the table needs


def _subject(args: Arguments) -> Subject:
    """What is planned. Raises ConfigError unless it is one thing, and for options that do not apply to it."""
    given = [name for name in _SUBJECTS if getattr(args, name) is not None]
    if len(given) != 1:
        all_given = f"{' and '.join(f'--{name}' for name in given)} are" if given else "nothing is"
        raise ConfigError(
            f"{all_given} to be planned: give one of --classes (a training), --embed (images) or --gallery (people)"
        )
    (subject,) = given
    defaults = {field.name: field.default for field in fields(args)} | {"efficiency": Efficiency()}
    elsewhere = {"views", "detect", "images_per_person", "machine_memory"}
    unused = elsewhere if subject == "classes" else {*defaults} - _USED[subject] - {*_SUBJECTS, "json"}
    if subject == "embed" and args.gpu == "custom":
        unused -= _OF_CUSTOM
    for name in defaults:
        if name in unused and getattr(args, name) != defaults[name]:
            option = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{option} does not apply to a plan with --{subject}: remove {option}")
    return subject


def _count(name: str, value: float | None) -> int:
    if value is None or not value.is_integer():
        raise ConfigError(f"--{name} is {value}, expected a whole number")
    return int(value)


def _plan_scale(args: Arguments, subject: Subject) -> int:
    if subject == "embed":
        hardware = find_hardware(args.gpu, tflops=args.flops, memory=args.memory, bandwidth=args.bandwidth)
        job = EmbeddingJob(
            images=_count("embed", args.embed),
            backbone=args.backbone,
            embedding_size=args.embedding,
            hardware=hardware,
            gpus=args.gpus,
            gpus_per_node=args.gpus_per_node,
            precision=args.precision,
            views=args.views,
            detect=args.detect,
        )
        photographs = ", photographs in which a face has to be found" if args.detect else ""
        title = f"embedding {counted(job.images, 'image')} by {args.backbone}{photographs}"
        lines = plan_embedding(job)
    else:
        gallery = GalleryJob(
            people=_count("gallery", args.gallery),
            images_per_person=args.images_per_person,
            embedding_size=args.embedding,
            machine_memory=args.machine_memory * 1e9,
        )
        title = f"a gallery of {counted(gallery.people, 'person', 'people')}, {gallery.embedding_size} values"
        lines = plan_gallery(gallery)
    if args.json is not None:
        write_text_atomically(args.json, json.dumps(lines_to_dict(lines), indent=2) + "\n")
    print_lines(title, lines, Console())
    return 0


def _plan(args: Arguments) -> Plan:
    job = Job(
        classes=_count("classes", args.classes),
        backbone=args.backbone,
        embedding_size=args.embedding,
        margin=args.head,
        batch=args.batch,
        gpus=args.gpus,
        gpus_per_node=args.gpus_per_node,
        sub_centers=args.sub_centers,
        sample_rate=args.sample_rate,
        optimizer=args.optimizer,
        recorder=args.recorder,
        backward=args.backward,
        head_memory=args.head_memory,
        queue_size=args.queue_size,
    )
    hardware = find_hardware(
        args.gpu,
        tflops=args.flops,
        memory=args.memory,
        bandwidth=args.bandwidth,
        link=args.link,
        network=args.network,
    )
    backbone = measure_backbone(args.backbone, args.embedding, hardware.precision(args.precision))
    machine = Machine(hardware=hardware, efficiency=args.efficiency, float32_products=args.float32_products)
    return make_plan(job, backbone, machine, reserve=args.reserve, implementation=args.implementation)
