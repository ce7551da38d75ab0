"""`make_plan`: the memory, exchanges and time that one job needs with each kind of head."""

from dataclasses import dataclass
from typing import Literal, get_args

from facemargin.errors import ConfigError
from facemargin.planning.backbone_cost import BackboneCost
from facemargin.planning.collectives import Collective, backbone_collectives, head_collectives
from facemargin.planning.head_buffers import Implementation, chosen_implementation
from facemargin.planning.head_memory import queue_shape
from facemargin.planning.head_shape import HeadShape, head_shape
from facemargin.planning.job import HeadKind, Job, MarginFacts, margin_facts
from facemargin.planning.machine import Machine
from facemargin.planning.step_memory import Memory, step_memory
from facemargin.planning.step_time import StepTime, step_time
from facemargin.planning.suggestions import largest_batch, smallest_gpus


@dataclass(frozen=True, kw_only=True)
class HeadPlan:
    """One kind of head on the job's GPUs.

    implementation: how the B×C work is done. fits: whether the needed memory is at most `usable_memory`. smallest_gpus,
    largest_batch: see suggestions.py.
    """

    kind: HeadKind
    implementation: Implementation
    memory: Memory
    fits: bool
    collectives: tuple[Collective, ...]
    time: StepTime
    smallest_gpus: int | None
    largest_batch: int | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """usable_memory: bytes of a GPU's memory that training may take."""

    job: Job
    machine: Machine
    backbone: BackboneCost
    usable_memory: float
    heads: tuple[HeadPlan, ...]


def make_plan(
    job: Job,
    backbone: BackboneCost,
    machine: Machine,
    *,
    reserve: float = 0.1,
    implementation: Implementation | Literal["auto"] = "auto",
) -> Plan:
    """The plan of every kind of head that can train the job. Sampled classes have their own optimizer, SGD, so they are
    left out if the job uses AdamW, and also if the head has a memory, which needs all classes.

    reserve: the fraction of a GPU's memory that is left to CUDA, NCCL, the workspaces of convolutions and
    fragmentation. Raises ConfigError for a reserve outside [0, 1), an unknown margin, and bf16 with
    "eager".
    """
    if job.backward != "float32" and implementation == "eager":
        raise ConfigError(f'backward is "{job.backward}", which implementation "eager" does not have: use "auto"')
    if not 0 <= reserve < 1:
        raise ConfigError(f"reserve is {reserve}, expected a fraction of the memory, 0 or more and below 1")
    usable = machine.hardware.memory * (1 - reserve)
    margin = margin_facts(job.margin)
    sampled = job.optimizer == "sgd" and job.head_memory == "none"
    kinds = [kind for kind in get_args(HeadKind) if kind != "sampled" or sampled]
    heads = tuple(_head_plan(job, kind, backbone, machine, margin, usable, implementation) for kind in kinds)
    return Plan(job=job, machine=machine, backbone=backbone, usable_memory=usable, heads=heads)


def _head_plan(
    job: Job,
    kind: HeadKind,
    backbone: BackboneCost,
    machine: Machine,
    margin: MarginFacts,
    usable: float,
    wanted: Implementation | Literal["auto"],
) -> HeadPlan:
    def implementations(some_job: Job, some_shape: HeadShape) -> tuple[Implementation, Implementation | None]:
        """Of the batch, and of BroadFace's queue."""
        queue = queue_shape(some_job, some_shape)
        of_batch = chosen_implementation(wanted, some_shape, machine.hardware, margin.binary)
        of_queue = None if queue is None else chosen_implementation(wanted, queue, machine.hardware, margin.binary)
        return of_batch, of_queue

    def memory_of(some_job: Job) -> Memory:
        some_shape = head_shape(some_job, kind)
        of_batch, of_queue = implementations(some_job, some_shape)
        device = machine.hardware.device
        return step_memory(some_job, kind, some_shape, backbone, margin, of_batch, device, of_queue)

    def fits(some_job: Job) -> bool:
        return memory_of(some_job).total <= usable

    shape = head_shape(job, kind)
    implementation, of_queue = implementations(job, shape)
    collectives = (*head_collectives(job, kind, margin), *backbone_collectives(job, backbone))
    return HeadPlan(
        kind=kind,
        implementation=implementation,
        memory=memory_of(job),
        fits=fits(job),
        collectives=collectives,
        time=step_time(job, kind, shape, margin, implementation, backbone, collectives, machine, of_queue),
        smallest_gpus=smallest_gpus(job, fits),
        largest_batch=largest_batch(job, fits),
    )
