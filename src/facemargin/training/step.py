"""One optimizer step. Shapes: B images of this process in a step, M in one pass, C colours, H × W pixels."""

import contextlib
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from facemargin.data.training_set import TrainingBatch
from facemargin.errors import NonFiniteLossError
from facemargin.timing import section
from facemargin.training.gradients import clip_, global_gradient_norm
from facemargin.training.loss_terms import PassLoss, StepSamples, pass_loss
from facemargin.training.prepared import PreparedBatch, prepare
from facemargin.training.processes import Processes
from facemargin.training.state import TrainingState

_SMALLEST_LOSS_SCALE = 2.0**-10


@dataclass(frozen=True)
class StepResult:
    """Means over the batch of all processes: `loss`, its named `parts` (the head's, "quality" where a layer learns to
    predict it, and what a face reconstruction adds), the gradient's norm before clipping, and the head's per-sample
    numbers, none without a head."""

    loss: float
    parts: dict[str, float]
    gradient_norm: float
    sample_means: dict[str, float]


def training_step(state: TrainingState, batch: TrainingBatch | PreparedBatch, learning_rate: float) -> StepResult:
    """Forward, backward and update on one batch, this process's part of it, in the recipe's accumulation passes.

    The loss is the mean over the labelled samples of the step, a reconstruction's the mean over all its images. Dropout
    and other draws depend on (seed, step, process) alone. Raises NonFiniteLossError, before any weight changes, if the
    loss or the gradient is not finite.
    """
    recipe, processes = state.recipe, state.processes
    torch.manual_seed((recipe.seed * 1_000_003 + state.step + 1 + processes.rank * 2**40) % 2**63)
    for module in state.modules():
        module.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    state.optimizer.zero_grad(set_to_none=True)
    prepared = batch if isinstance(batch, PreparedBatch) else prepare(state, batch)
    prepared.wait()
    batch, images_BCHW, labels_B = prepared.batch, prepared.images_BCHW, prepared.labels_B
    state.head.begin_step(labels_B)
    images, labeled = processes.sum([len(batch), int((batch.labels_B >= 0).sum())])
    samples = StepSamples(max(int(images), 1), max(int(labeled), 1))
    passes: list[PassLoss] = []
    shares: list[dict[str, Tensor]] = []
    rows_of_passes = pass_rows(state, batch)
    for number, rows in enumerate(rows_of_passes, start=1):
        num_labeled = int((batch.labels_B[rows] >= 0).sum())
        with _gradients_summed(state.replica, when=number == len(rows_of_passes)):
            loss_of_pass = pass_loss(state, images_BCHW[rows], labels_B[rows], num_labeled)
            shares_of_pass = {term.name: term.share(samples) for term in loss_of_pass.terms}
            with section("head" if state.head.num_classes else "backbone"):
                (torch.stack([*shares_of_pass.values()]).sum() * state.scaler.scale).backward()
        passes.append(loss_of_pass)
        shares.append(shares_of_pass)
    parts, sample_means = _means(passes, shares, processes)
    loss = sum(parts.values())
    if not math.isfinite(loss):
        raise NonFiniteLossError(_loss_advice(state, loss, passes))
    with section("optimizer"):
        gradient_norm = _update(state, learning_rate)
        processes.average_([b for b in state.recognizer.buffers() if b.is_floating_point()])
        state.step += 1
        if state.average is not None:
            state.average.update()
    return StepResult(loss, parts, gradient_norm, sample_means)


def pass_rows(state: TrainingState, batch: TrainingBatch) -> list[slice]:
    """The rows of the batch that make each pass: passes are cut before corrupt images are left out, so that their
    samples, and with them the running statistics, do not depend on the number of processes."""
    positions = range(len(batch)) if batch.positions_B is None else batch.positions_B.tolist()
    cuts = [bisect_left(positions, number * state.pass_size) for number in range(1, state.recipe.accumulation_steps)]
    return [slice(*ends) for ends in pairwise([0, *cuts, len(batch)])]


@contextlib.contextmanager
def _gradients_summed(replica: nn.Module, when: bool) -> Iterator[None]:
    """Within, unless `when`, gradients of this pass wait to be summed over the processes until a later one's are."""
    if not when and isinstance(replica, nn.parallel.DistributedDataParallel):
        with replica.no_sync():
            yield
    else:
        yield


def _means(
    passes: list[PassLoss], shares: list[dict[str, Tensor]], processes: Processes
) -> tuple[dict[str, float], dict[str, float]]:
    """The step's named parts, and the means of the head's per-sample numbers, over all processes."""
    reduced: dict[str, Tensor] = {}
    local: dict[str, Tensor] = {}  # still to be summed over the processes
    for term in passes[0].terms:
        share = torch.stack([shares_of_pass[term.name] for shares_of_pass in shares]).sum()
        (reduced if term.reduced else local)[term.name] = share
    names_of_parts = [*reduced, *local]
    for name in passes[0].sample_numbers:
        values_B = torch.cat([loss.sample_numbers[name] for loss in passes])
        local[f"sum of {name}"] = values_B.nansum(dtype=torch.float64)
        local[f"count of {name}"] = values_B.isnan().logical_not().sum()
    tensors = reduced | local
    on_host = torch.stack([tensor.detach().double() for tensor in tensors.values()]).tolist()  # one wait for the device
    numbers = dict(zip(tensors, on_host, strict=True))
    numbers |= zip(local, processes.sum([numbers[name] for name in local]), strict=True)
    means = {name: _ratio(numbers[f"sum of {name}"], numbers[f"count of {name}"]) for name in passes[0].sample_numbers}
    return {name: numbers[name] for name in names_of_parts}, means


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan


def _update(state: TrainingState, learning_rate: float) -> float:
    """Clip and step; returns the gradient's norm. With fp16 a non-finite gradient only lowers the loss scale."""
    networks, centers = (
        [tensor.grad for tensor in tensors if tensor.grad is not None]
        for tensors in (state.recognizer.parameters(), state.head.trained_tensors())
    )
    state.scaler.unscale_(networks + centers)
    norm = global_gradient_norm(networks, centers, state.processes)
    finite = bool(norm.isfinite())
    if not finite and not state.scaler.enabled:
        raise NonFiniteLossError(_advice(state, f"the gradient's norm is {norm.item()}", "optimizer.learning_rate"))
    if finite:
        if state.recipe.gradient_clip:
            clip_(networks + centers, state.recipe.gradient_clip, norm)
        state.optimizer.step()
        state.head.step(learning_rate)
    else:
        state.head.skip_step()
    state.scaler.update(finite)
    if state.scaler.enabled and state.scaler.scale < _SMALLEST_LOSS_SCALE:
        raise NonFiniteLossError(_advice(state, "fp16 gradients overflow at every loss scale", "precision"))
    return norm.item()


def _loss_advice(state: TrainingState, loss: float, passes: list[PassLoss]) -> str:
    """What to say of a loss that is not finite."""
    general = "precision" if state.autocast_type == torch.float16 else "optimizer.learning_rate"
    numbers = [loss_of_pass.sample_numbers for loss_of_pass in passes]
    if any(not of_pass["feature_norm"].isfinite().all() for of_pass in numbers if of_pass):
        return _advice(state, f"the loss is {loss}: the backbone's features are not finite", general)
    terms = [term for loss_of_pass in passes for term in loss_of_pass.terms]
    origins = {term.origin for term in terms if not term.value.isfinite()}
    if "head" in origins:
        name = "head.scale" if hasattr(state.recipe.head, "scale") else "head.name"
        return _advice(state, f"the loss is {loss}", name)
    if "quality" in origins:
        return _advice(state, f"the loss is {loss}, through the predicted quality", "quality.weight")
    return _advice(state, f"the loss is {loss}, through the face reconstruction", general)


def _advice(state: TrainingState, what: str, name: str) -> str:
    value: object = state.recipe
    for part in name.split("."):
        value = getattr(value, part)
    return f"step {state.step + 1}: {what}. The recipe field to look at first is {name} (now {value})"
