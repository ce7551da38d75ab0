"""What a checkpoint holds a row of for every class of a process: the centres, what the head remembers of the classes,
and what an optimizer keeps beside the centres.

Such rows are saved and loaded by the processes that have the classes (see checkpoint.py); all the rest of a training's
state is the same in each. Shapes: C classes of this process, D embedding size, K sub-centres of a class.
"""

from typing import Any

import torch
from torch import Tensor

from facemargin.heads import Head
from facemargin.training.no_head import NoHead

# The names of rows begin with where they come from, those of the head's own state apart.
_MOMENTS, _ROW_OPTIMIZER = "optimizer.", "rows."


def split_rows(
    head: Head | NoHead, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, Tensor]]:
    """The state of the head, None without one, and of the optimizer, both without the rows, and the rows, (C, …) each,
    by name."""
    if isinstance(head, NoHead):
        return None, optimizer.state_dict(), {}
    head_state, optimizer_state = dict(head.state_dict()), optimizer.state_dict()
    rows = {name: head_state.pop(name) for name in head.class_rows}
    if head.samples_classes:
        rows |= {f"{_ROW_OPTIMIZER}{name}": row for name, row in head.row_optimizer.state_dict().items()}
    else:
        optimizer_state, moments_CD = _split_moments(optimizer_state, _centers_index(head, optimizer))
        rows |= {f"{_MOMENTS}{name}": moment_CD for name, moment_CD in moments_CD.items()}
    return head_state, optimizer_state, rows


def join_rows(head: Head | NoHead, optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Load what `split_rows` made, in a checkpoint as "head", "optimizer" and "rows"; KeyError, RuntimeError or
    ValueError where it is of another head or optimizer."""
    rows, optimizer_state = saved["rows"], saved["optimizer"]
    if isinstance(head, Head):
        head.load_state_dict({**saved["head"], **{name: rows[name] for name in head.class_rows}})
        if head.samples_classes:
            head.row_optimizer.load_state_dict(_beginning(_ROW_OPTIMIZER, rows), head.weight.data)
        elif moments_CD := _beginning(_MOMENTS, rows):
            index = _centers_index(head, optimizer)
            moments = {**optimizer_state["state"].get(index, {}), **moments_CD}
            optimizer_state = {**optimizer_state, "state": {**optimizer_state["state"], index: moments}}
    optimizer.load_state_dict(optimizer_state)
    for group in optimizer.param_groups:
        group["fused"] = optimizer.defaults["fused"]  # as this device wants it, not the one that the checkpoint is from


def _split_moments(optimizer_state: dict[str, Any], index: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """An optimizer's state without the moments, (C, D), of parameter `index`, and those by name."""
    of_centers = optimizer_state["state"].get(index, {})
    if not of_centers:  # before the first step
        return optimizer_state, {}
    moments_CD = {name: value for name, value in of_centers.items() if isinstance(value, Tensor) and value.ndim > 1}
    rest = {name: value for name, value in of_centers.items() if name not in moments_CD}
    return {**optimizer_state, "state": {**optimizer_state["state"], index: rest}}, moments_CD


def _beginning(prefix: str, rows: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): row for name, row in rows.items() if name.startswith(prefix)}


def _centers_index(head: Head, optimizer: torch.optim.Optimizer) -> int:
    """The centres' number among the optimizer's parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return next(index for index, parameter in enumerate(parameters) if parameter is head.weight)
