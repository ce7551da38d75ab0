"""One optimizer step. Shapes: B images of this process in a step, M in one pass, C colours, H × W pixels."""

import contextlib
from bisect import bisect_left
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from facemargin.data.training_set import TrainingBatch
from facemargin.timing import section
from facemargin.training.gradients import SMALLEST_LOSS_SCALE, clip_, global_gradient_norm
from facemargin.training.loss_terms import PassLoss, StepSamples, pass_loss
from facemargin.training.optimizer import step_if
from facemargin.training.prepared import PreparedBatch, prepare
from facemargin.training.processes import Processes
from facemargin.training.state import TrainingState
from facemargin.training.step_result import (
    BAD_FEATURES,
    COUNT,
    GRADIENT_NORM,
    LOSS_SCALE,
    PART,
    SOUND,
    TOTAL,
    StepResult,
)
from facemargin.training.visits import Visits


def training_step(state: TrainingState, batch: TrainingBatch | PreparedBatch, learning_rate: float) -> StepResult:
    """Forward, backward and update on one batch, this process's part of it, in the recipe's accumulation passes.

    The loss is the mean over the labelled samples of the step, a reconstruction's the mean over all its images. Dropout
    and other draws depend on (seed, step, process) alone. If the loss or the gradient is not finite, no weight changes,
    in this step and those after it; NonFiniteLossError says so: here, or, if the state's results are `late`, where the
    result is read. A late result is not waited for here: the device decides.
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
    batch, images_BCHW, labels_B = prepared.batch, prepared.images_BCHW, prepared.batch.labels_B
    state.head.begin_step(labels_B)
    images, labeled = processes.sum([len(batch), int((labels_B >= 0).sum())])
    samples = StepSamples(max(int(images), 1), max(int(labeled), 1))
    passes: list[PassLoss] = []
    shares: list[dict[str, Tensor]] = []
    rows_of_passes = pass_rows(state, batch)
    for number, rows in enumerate(rows_of_passes, start=1):
        num_labeled = int((labels_B[rows] >= 0).sum())
        with _gradients_summed(state.replica, when=number == len(rows_of_passes)):
            loss_of_pass = pass_loss(state, images_BCHW[rows], labels_B[rows], num_labeled)
            shares_of_pass = {term.name: term.share(samples) for term in loss_of_pass.terms}
            with section("head" if state.head.num_classes else "backbone"):
                state.scaler.scaled(torch.stack([*shares_of_pass.values()]).sum()).backward()
        passes.append(loss_of_pass)
        shares.append(shares_of_pass)
    numbers = _numbers(passes, shares, processes)
    origins = {term.name: term.origin for term in passes[0].terms}
    with section("optimizer"):
        networks, centers = _gradients(state)
        state.scaler.unscale_(networks + centers)
        norm = global_gradient_norm(networks, centers, processes)
        taken = _decide(state, numbers, norm)
        visits = _visits(state, batch, passes)
        result = StepResult(recipe, state.step + 1, origins, numbers, state.late, visits)
        if not state.late:
            result.check()
        if recipe.gradient_clip:
            clip_(networks + centers, recipe.gradient_clip, norm)
        _update(state, learning_rate, taken)
        processes.average_([b for b in state.recognizer.buffers() if b.is_floating_point()])
        state.step += 1
        if state.average is not None:
            state.average.update(taken)
    return result


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


def _numbers(passes: list[PassLoss], shares: list[dict[str, Tensor]], processes: Processes) -> dict[str, Tensor]:
    """The step's named parts, and the sums and counts of the head's per-sample numbers, over all processes."""
    reduced: dict[str, Tensor] = {}
    local: dict[str, Tensor] = {}  # still to be summed over the processes
    for term in passes[0].terms:
        share = torch.stack([shares_of_pass[term.name] for shares_of_pass in shares]).sum()
        (reduced if term.reduced else local)[f"{PART}{term.name}"] = share.detach().double()
    for name in passes[0].sample_numbers:
        values_B = torch.cat([loss.sample_numbers[name] for loss in passes])
        local[f"{TOTAL}{name}"] = values_B.nansum(dtype=torch.float64)
        local[f"{COUNT}{name}"] = values_B.isnan().logical_not().sum().double()
        if name == "feature_norm":
            local[BAD_FEATURES] = values_B.isfinite().logical_not().sum().double()
    if local:
        summed = torch.stack([*local.values()])
        processes.sum_(summed)
        local = dict(zip(local, summed.unbind(), strict=True))
    return reduced | local


def _visits(state: TrainingState, batch: TrainingBatch, passes: list[PassLoss]) -> Visits | None:
    """What the recorder is to keep of the step, if there is one."""
    recorded = [loss.recorded for loss in passes if loss.recorded is not None]
    return Visits(state.step + 1, batch.indices_B, recorded, state.late) if recorded else None


def _gradients(state: TrainingState) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of what all processes have alike, the networks and a margin's parameters, and of the class
    centres."""
    alike = [*state.recognizer.parameters(), *state.head.shared_tensors()]
    networks, centers = (
        [tensor.grad for tensor in tensors if tensor.grad is not None]
        for tensors in (alike, state.head.trained_tensors())
    )
    return networks, centers


def _decide(state: TrainingState, numbers: dict[str, Tensor], norm: Tensor) -> Tensor:
    """Whether the weights move, a boolean scalar on the device: if loss and gradient are finite. Adds to the numbers
    what led to it. With fp16 a gradient that is not finite only lowers the loss scale."""
    loss = torch.stack([value for name, value in numbers.items() if name.startswith(PART)]).sum()
    finite = loss.isfinite() & norm.isfinite()
    numbers[GRADIENT_NORM] = norm
    goes_on = finite
    if state.scaler.enabled:
        state.scaler.update(norm.isfinite())
        numbers[LOSS_SCALE] = state.scaler.tensor
        goes_on = loss.isfinite() & (state.scaler.tensor >= SMALLEST_LOSS_SCALE)
    if not state.late:
        return finite
    numbers[SOUND] = state.sound
    taken, state.sound = finite & state.sound, goes_on & state.sound
    return taken


def _update(state: TrainingState, learning_rate: float, taken: Tensor) -> None:
    """Step all weights, if the step is `taken`."""
    step_if(taken, state.optimizer)
    # Sampled centres are the head's own to update, and it waits for the device anyway.
    if state.head.samples_classes and not taken:
        state.head.skip_step()
    else:
        state.head.step(learning_rate)
