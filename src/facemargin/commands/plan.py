"""`facemargin plan --classes 1e8 --gpus 64 …`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._plan_tables import plan_to_dict, print_plan
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_text_atomically
from facemargin.planning.backbone_cost import measure_backbone
from facemargin.planning.hardware import Efficiency, Float32Products, Precision, find_hardware
from facemargin.planning.head_buffers import Implementation
from facemargin.planning.job import Job, Optimizer
from facemargin.planning.machine import Machine
from facemargin.planning.plan import Plan, make_plan


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compute the memory, the exchanged data and the time per step of a training on many GPUs, with the head's centres
    replicated on every GPU (dense), divided among them (class-parallel), or divided and sampled."""

    classes: float
    """The number of identities, such as 93431 or 1e8."""
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
    sample_rate: float = 0.1
    """The share of its classes that a GPU uses in a step with the sampled head."""
    optimizer: Optimizer = "sgd"
    """sgd has momentum."""
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
    reserve: float = 0.1
    """The fraction of a GPU's memory left to CUDA, NCCL, workspaces and fragmentation."""
    json: Path | None = None
    """A JSON file for the plan, in bytes and seconds."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "plan", arguments)
    plan = _plan(args)
    if args.json is not None:
        write_text_atomically(args.json, json.dumps(plan_to_dict(plan), indent=2) + "\n")
    print_plan(plan, Console())
    return 0


def _plan(args: Arguments) -> Plan:
    if not args.classes.is_integer():
        raise ConfigError(f"--classes is {args.classes}, expected a whole number")
    job = Job(
        classes=int(args.classes),
        backbone=args.backbone,
        embedding_size=args.embedding,
        margin=args.head,
        batch=args.batch,
        gpus=args.gpus,
        gpus_per_node=args.gpus_per_node,
        sample_rate=args.sample_rate,
        optimizer=args.optimizer,
        recorder=args.recorder,
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
