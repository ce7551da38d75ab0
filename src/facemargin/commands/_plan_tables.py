"""Prints a plan as tables with footnotes, and converts it to numbers."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from typing import Any

from rich.console import Console

from facemargin.counting import counted
from facemargin.planning.plan import HeadPlan, Plan
from facemargin.planning.step_memory import Memory
from facemargin.planning.step_time import StepTime
from facemargin.tables import Table


def print_plan(plan: Plan, console: Console) -> None:
    """Print the plan on the terminal."""
    job = plan.job
    gpus = f"{job.gpus:,} × {plan.machine.hardware.name}"
    console.print(
        f"{job.margin}, {counted(job.classes, 'class', 'classes')}, {counted(job.embedding_size, 'value')}; "
        f"{plan.backbone.name} in {plan.backbone.precision}; {gpus}, {counted(job.batch, 'image')} each, "
        f"{job.global_batch:,} a step; {job.optimizer}{'; recorded' if job.recorder else ''}"
        f"{'' if job.head_memory == 'none' else f'; memory {job.head_memory}'}"
        f"{'' if job.backward == 'float32' else f'; backward {job.backward}'}",
        highlight=False,
    )
    for table in (_memory_table(plan), _exchange_table(plan), _time_table(plan), _advice_table(plan)):
        console.print(table)
    for note in footnotes(plan):
        console.print(f"• {note}", highlight=False, markup=False)


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """The numbers of the plan, in bytes and seconds."""
    machine = plan.machine
    return {
        "job": asdict(plan.job) | {"global_batch": plan.job.global_batch},
        "hardware": asdict(machine.hardware),
        "efficiency": asdict(machine.efficiency),
        "float32_products": machine.float32_products,
        "usable_memory": plan.usable_memory,
        "backbone": {
            name: getattr(plan.backbone, name)
            for name in ("name", "precision", "parameters", "fixed_bytes", "image_bytes", "flops")
        },
        "heads": {head.kind: _head_to_dict(plan, head) for head in plan.heads},
        "notes": footnotes(plan),
    }


def _head_to_dict(plan: Plan, head: HeadPlan) -> dict[str, Any]:
    gpus, time = plan.job.gpus, head.time
    return {
        "implementation": head.implementation,
        "fits": head.fits,
        "memory": asdict(head.memory) | {"total": head.memory.total},
        "exchanges": [asdict(collective) | {"sent": collective.sent(gpus)} for collective in head.collectives],
        "sent": sum(collective.sent(gpus) for collective in head.collectives),
        "time": asdict(time) | {"exposed_exchange": time.exposed_exchange, "total": time.total},
        "images_per_second": plan.job.global_batch / time.total,
        "smallest_gpus": head.smallest_gpus,
        "largest_batch": head.largest_batch,
    }


def footnotes(plan: Plan) -> list[str]:
    """The meaning of the numbers and the assumptions behind them."""
    machine, job = plan.machine, plan.job
    hardware, efficiency = machine.hardware, machine.efficiency
    products = "TF32" if machine.float32_products == "tf32" else "float32"
    single = hardware.flops_tf32 if machine.float32_products == "tf32" else hardware.flops_float32
    notes = [
        "Memory: weights, gradients and optimizer in float32. Activations are the tensors that the forward pass "
        f"of {plan.backbone.name} keeps in {plan.backbone.precision}. The parts are not all held at the same "
        f"time, so the total is an upper bound; of {hardware.memory / 1e9:.4g} GB, "
        f"{(hardware.memory - plan.usable_memory) / 1e9:.3g} GB are left to CUDA, NCCL, workspaces and "
        "fragmentation (--reserve).",
        "Sent: the bytes that one GPU sends in a ring of P GPUs: 2·(P−1)/P of an all-reduced tensor, (P−1)/P of "
        "a tensor that is gathered or reduce-scattered.",
        f"Time: the peaks of {hardware.name} × assumed efficiencies: {hardware.flops_16bit / 1e12:.4g} TFLOP/s in "
        f"16 bits and {single / 1e12:.4g} in {products} × {efficiency.compute:g}; {hardware.bandwidth / 1e9:.4g} "
        f"GB/s of memory × {efficiency.memory:g}; {hardware.link / 1e9:.4g} GB/s between GPUs and "
        f"{hardware.network / 1e9:.4g} between nodes × {efficiency.communication:g}. Each operation takes as long "
        "as its arithmetic or its memory traffic, whichever is longer, unfused. Gradients are exchanged during "
        "the backbone's backward pass; nothing else overlaps. Reading images, kernel launches and latency are "
        "left out.",
    ]
    if any(head.kind == "sampled" for head in plan.heads):
        notes.append(
            f"Sampled: {job.sample_rate:g} of a GPU's classes in a step, at least the expected number of "
            "positives; rows that are not sampled do not change."
        )
    elif job.head_memory == "none":
        notes.append("Sampled classes have their own optimizer, SGD, so there is no such head with adamw.")
    if job.head_memory != "none":
        queue = f", with {counted(job.queue_size, 'sample')} in its queue" if job.head_memory == "broadface" else ""
        notes.append(
            f"The head's memory is {job.head_memory}{queue}: what the processes exchange for it is not planned. "
            "Sampled classes cannot have one, because the classes in it would not all be among a step's."
        )
    if job.backward != "float32":
        notes.append("backward bf16: its memory is counted; its products are timed as if they were in float32.")
    if job.gpus % job.gpus_per_node and job.gpus > job.gpus_per_node:
        notes.append(f"{job.gpus} GPUs are not a whole number of nodes with {job.gpus_per_node} GPUs.")
    return notes


def _table(plan: Plan, title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for head in plan.heads:
        table.add_column(head.kind, justify="right")
    return table


def _add_rows(table: Table, plan: Plan, names: Sequence[str], text: Callable[[HeadPlan, str], str]) -> None:
    for name in names:
        table.add_row(name.replace("_", " "), *(text(head, name) for head in plan.heads))


def _memory_table(plan: Plan) -> Table:
    table = _table(plan, "memory of a GPU, GB")
    names = [part.name for part in fields(Memory)]
    _add_rows(table, plan, names, lambda head, name: _giga(getattr(head.memory, name)))
    table.add_section()
    table.add_row("total", *(_giga(head.memory.total) for head in plan.heads), style="bold")
    verdicts = ("[green]fits[/]" if head.fits else "[red]does not fit[/]" for head in plan.heads)
    table.add_row(f"of {_giga(plan.usable_memory)} usable", *verdicts)
    table.add_row("implementation", *(head.implementation for head in plan.heads))
    return table


def _exchange_table(plan: Plan) -> Table:
    table = _table(plan, "sent by a GPU in a step, MB")
    sent = [
        {(collective.what, collective.operation): collective.sent(plan.job.gpus) for collective in head.collectives}
        for head in plan.heads
    ]
    longest_first = sorted(sent, key=len, reverse=True)  # whose order is that of the step
    for exchange in dict.fromkeys(key for of_head in longest_first for key in of_head):
        cells = (f"{of_head[exchange] / 1e6:,.3f}" if exchange in of_head else "" for of_head in sent)
        table.add_row(f"{exchange[0]}, {exchange[1]}", *cells)
    table.add_section()
    table.add_row("total", *(f"{sum(of_head.values()) / 1e6:,.3f}" for of_head in sent), style="bold")
    return table


def _time_table(plan: Plan) -> Table:
    table = _table(plan, "time of a step, ms")
    names = [part.name for part in fields(StepTime) if part.name != "gradient_exchange"]
    _add_rows(table, plan, [*names, "exposed_exchange"], lambda head, name: _milli(getattr(head.time, name)))
    table.add_section()
    table.add_row("total", *(_milli(head.time.total) for head in plan.heads), style="bold")
    table.add_row("images/s, all GPUs", *(f"{plan.job.global_batch / head.time.total:,.0f}" for head in plan.heads))
    return table


def _advice_table(plan: Plan) -> Table:
    job = plan.job
    table = _table(plan, "what fits")
    table.add_row(
        f"fewest GPUs with {counted(job.batch, 'image')} each",
        *(_number(head.smallest_gpus) for head in plan.heads),
    )
    table.add_row(
        f"most images of a GPU on {job.gpus:,} GPUs",
        *(_number(head.largest_batch) for head in plan.heads),
    )
    return table


def _giga(size: float) -> str:
    return f"{size / 1e9:,.2f}"


def _milli(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f}"


def _number(value: int | None) -> str:
    return "none" if value is None else f"{value:,}"
