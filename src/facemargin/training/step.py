"""One optimizer step. Shapes: B images of this process in a step, M in one pass, C colours, H × W pixels."""

import contextlib
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from facemargin.data.augmentation.batched import augment_batch
from facemargin.data.images.pixels import normalize
from facemargin.data.sampler import process_slice
from facemargin.data.training_set import TrainingBatch
from facemargin.errors import NonFiniteLossError
from facemargin.timing import section
from facemargin.training.gradient_norm import clip_, global_gradient_norm
from facemargin.training.pass_loss import PassLoss, Shares, StepTotals, pass_loss
from facemargin.training.state import TrainingState

_SMALLEST_LOSS_SCALE = 2.0**-10
_SAMPLE_NUMBERS = ("target_cosine", "certainty_ratio", "feature_norm", "margin_scaler")


@dataclass(frozen=True)
class StepResult:
    """Means over the batch of all processes: `loss`, its named `parts` (the head's, "quality" where a layer learns to
    predict it, and what a face reconstruction adds), the gradient's norm before clipping, and the head's per-sample
    numbers, none without a head."""

    loss: float
    parts: dict[str, float]
    gradient_norm: float
    sample_means: dict[str, float]


def training_step(state: TrainingState, batch: TrainingBatch, learning_rate: float) -> StepResult:
    """Forward, backward and update on one batch, this process's part of it, in the recipe's accumulation passes.

    The loss is the mean over the labelled samples of the step, a reconstruction's the mean over all its images. Dropout
    and other draws depend on (seed, step, process) alone. Raises NonFiniteLossError, before any weight changes, if the
    loss or the gradient is not finite.
    """
    recipe = state.recipe
    torch.manual_seed((recipe.seed * 1_000_003 + state.step + 1 + state.processes.rank * 2**40) % 2**63)
    for module in state.modules():
        module.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    state.optimizer.zero_grad(set_to_none=True)
    with section("transfer"):
        images_BCHW = _network_input(state, batch)
        labels_B = batch.labels_B.to(state.device, non_blocking=True)
    if state.head is not None:
        state.head.begin_step(labels_B)
    images, labeled = state.processes.sum([len(batch), int((batch.labels_B >= 0).sum())])
    totals = StepTotals(max(int(images), 1), max(int(labeled), 1))
    losses: list[PassLoss] = []
    shares: list[Shares] = []
    passes = pass_rows(state, batch)
    for number, rows in enumerate(passes):
        labels_M = labels_B[rows]
        with _gradients_stay_here(state.replica, when=number < len(passes) - 1):
            one = pass_loss(state, images_BCHW[rows], labels_M)
            num_own = int((batch.labels_B[rows] >= 0).sum())
            num_labeled = one.head.num_labeled if one.head is not None else num_own
            share = one.shared(num_labeled, num_own, len(labels_M), totals)
            loss = torch.stack([*share.everywhere.values(), *share.here.values()]).sum()
            with section("backbone" if one.head is None else "head"):
                (loss * state.scaler.scale).backward()
        losses.append(one)
        shares.append(share)
    parts, sample_means = _means(state, losses, shares)
    loss_value = sum(parts.values())
    if not math.isfinite(loss_value):
        raise NonFiniteLossError(_loss_advice(state, loss_value, losses))
    with section("optimizer"):
        gradient_norm = _update(state, learning_rate)
        state.processes.average_([b for b in state.recognizer.buffers() if b.is_floating_point()])
        state.step += 1
        if state.average is not None:
            state.average.update(state.recognizer)
    return StepResult(loss_value, parts, gradient_norm, sample_means)


def pass_rows(state: TrainingState, batch: TrainingBatch) -> list[slice]:
    """The rows of the batch that make each pass: passes are cut before corrupt images are left out, so that their
    samples, and with them the running statistics, do not depend on the number of processes."""
    recipe, processes = state.recipe, state.processes
    first, last = process_slice(recipe.batch_size // recipe.accumulation_steps, processes.rank, processes.size)
    positions = range(len(batch)) if batch.positions_B is None else batch.positions_B.tolist()
    cuts = [bisect_left(positions, number * (last - first)) for number in range(1, recipe.accumulation_steps)]
    return [slice(*ends) for ends in pairwise([0, *cuts, len(batch)])]


def _network_input(state: TrainingState, batch: TrainingBatch) -> Tensor:
    images_BCHW = batch.images_BCHW.to(state.device, non_blocking=True)
    if batch.draws is not None:
        images_BCHW = augment_batch(images_BCHW, batch.draws)
    images_BCHW = normalize(images_BCHW)
    if state.recipe.precision == "float64":
        images_BCHW = images_BCHW.double()
    channels_last = state.recipe.channels_last
    return images_BCHW.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


@contextlib.contextmanager
def _gradients_stay_here(replica: nn.Module, when: bool) -> Iterator[None]:
    """Within, if `when`, gradients of this pass wait to be summed over the processes until a later one's are."""
    with (
        replica.no_sync()
        if when and isinstance(replica, nn.parallel.DistributedDataParallel)
        else (contextlib.nullcontext())
    ):
        yield


def _means(
    state: TrainingState, losses: list[PassLoss], shares: list[Shares]
) -> tuple[dict[str, float], dict[str, float]]:
    """The step's named parts, and the means of the head's per-sample numbers, over all processes."""
    everywhere, here = list(shares[0].everywhere), list(shares[0].here)
    tensors = [torch.stack([share.everywhere[name] for share in shares]).sum() for name in everywhere]
    tensors += [torch.stack([share.here[name] for share in shares]).sum() for name in here]
    heads = [one.head for one in losses if one.head is not None]
    for name in _SAMPLE_NUMBERS if heads else ():
        values_B = torch.cat([getattr(out, f"{name}_B") for out in heads])
        tensors += [values_B.nansum(dtype=torch.float64), values_B.isnan().logical_not().sum()]
    numbers = torch.stack([tensor.detach().double() for tensor in tensors]).tolist()  # one wait for the device
    numbers[len(everywhere) :] = state.processes.sum(numbers[len(everywhere) :])
    parts = dict(zip(everywhere + here, numbers, strict=False))
    sums, counts = (numbers[len(parts) + offset :: 2] for offset in (0, 1))
    means = [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]
    return parts, dict(zip(_SAMPLE_NUMBERS, means, strict=False))


def _update(state: TrainingState, learning_rate: float) -> float:
    """Clip and step; returns the gradient's norm. With fp16 a non-finite gradient only lowers the loss scale."""
    networks = [p.grad for p in state.recognizer.parameters() if p.grad is not None]
    centers = [t.grad for t in (state.head.trained_tensors() if state.head is not None else []) if t.grad is not None]
    state.scaler.unscale_(networks + centers)
    norm = global_gradient_norm(networks, centers, state.processes)
    finite = bool(norm.isfinite())
    if not finite and not state.scaler.enabled:
        raise NonFiniteLossError(_advice(state, f"the gradient's norm is {norm.item()}", "optimizer.learning_rate"))
    if finite:
        if state.recipe.gradient_clip:
            clip_(networks + centers, state.recipe.gradient_clip, norm)
        state.optimizer.step()
    if state.head is not None:
        state.head.step(learning_rate) if finite else state.head.skip_step()
    state.scaler.update(finite)
    if state.scaler.enabled and state.scaler.scale < _SMALLEST_LOSS_SCALE:
        raise NonFiniteLossError(_advice(state, "fp16 gradients overflow at every loss scale", "precision"))
    return norm.item()


def _loss_advice(state: TrainingState, loss: float, passes: list[PassLoss]) -> str:
    """What to say of a loss that is not finite."""
    general = "precision" if state.autocast_type == torch.float16 else "optimizer.learning_rate"
    heads = [one.head for one in passes if one.head is not None]
    if any(not out.feature_norm_B.isfinite().all() for out in heads):
        return _advice(state, f"the loss is {loss}: the backbone's features are not finite", general)
    if any(not out.loss.isfinite() for out in heads):
        name = "head.scale" if hasattr(state.recipe.head, "scale") else "head.name"
        return _advice(state, f"the loss is {loss}", name)
    if any(not one.label_parts.get("quality", torch.zeros(())).isfinite() for one in passes):
        return _advice(state, f"the loss is {loss}, through the predicted quality", "quality.weight")
    return _advice(state, f"the loss is {loss}, through the face reconstruction", general)


def _advice(state: TrainingState, what: str, name: str) -> str:
    value: object = state.recipe
    for part in name.split("."):
        value = getattr(value, part)
    return f"step {state.step + 1}: {what}. The recipe field to look at first is {name} (now {value})"
