"""One optimizer step. Shapes: B images of a step, M of one accumulation pass, C colours, H × W pixels."""

import math
from dataclasses import dataclass

import torch

from facemargin.data.pixels import normalise
from facemargin.data.training_set import TrainingBatch
from facemargin.errors import NonFiniteLossError
from facemargin.training.config import SMALLEST_PASS
from facemargin.training.pass_loss import PassLoss, pass_loss
from facemargin.training.state import TrainingState

_SMALLEST_LOSS_SCALE = 2.0**-10
_SAMPLE_NUMBERS = ("target_cosine", "certainty_ratio", "feature_norm", "margin_scaler")


@dataclass(frozen=True)
class StepResult:
    """The batch's means: `loss`, its named `parts` (the head's, "quality" where a layer learns to predict it, and what
    a face reconstruction adds), the gradient's norm before clipping, and the head's per-sample numbers, none without a
    head."""

    loss: float
    parts: dict[str, float]
    gradient_norm: float
    sample_means: dict[str, float]


def training_step(state: TrainingState, batch: TrainingBatch, learning_rate: float) -> StepResult:
    """Forward, backward and update on one batch, in the recipe's accumulation passes (fewer where corrupt images leave
    too few images for that many), whose sizes differ by one at most.

    The loss is the mean over the labelled samples of the step, a reconstruction's the mean over all its images. Dropout
    and other draws depend on (seed, step) alone. Raises NonFiniteLossError, before any weight changes, if the loss or
    the gradient is not finite.
    """
    recipe = state.recipe
    torch.manual_seed((recipe.seed * 1_000_003 + state.step + 1) % 2**63)
    for module in state.modules():
        module.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    state.optimizer.zero_grad(set_to_none=True)
    images_BCHW = normalise(batch.images_BCHW.to(state.device, non_blocking=True))
    if recipe.channels_last:
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    labels_B = batch.labels_B.to(state.device, non_blocking=True)
    passes = max(1, min(recipe.accumulation_steps, len(batch) // SMALLEST_PASS))
    labelled = max(int((labels_B >= 0).sum()), 1)
    losses: list[PassLoss] = []
    parts: dict[str, float] = {}
    for images_MCHW, labels_M in zip(images_BCHW.tensor_split(passes), labels_B.tensor_split(passes), strict=True):
        one = pass_loss(state, images_MCHW, labels_M)
        # the mean is over the whole step, not over each pass
        shares = one.shared(int((labels_M >= 0).sum()) / labelled, len(images_MCHW) / len(batch))
        loss = torch.stack(list(shares.values())).sum()
        if not loss.isfinite():
            raise NonFiniteLossError(_loss_advice(state, loss.item(), one))
        state.scaler.scale(loss).backward()
        losses.append(one)
        parts = {name: parts.get(name, 0.0) + share.item() for name, share in shares.items()}
    gradient_norm = _update(state)
    state.step += 1
    if state.average is not None:
        state.average.update(state.recogniser)
    return StepResult(sum(parts.values()), parts, gradient_norm, _sample_means(losses))


def _sample_means(losses: list[PassLoss]) -> dict[str, float]:
    heads = [one.head for one in losses if one.head is not None]
    if not heads:
        return {}
    return {name: torch.cat([getattr(out, f"{name}_B") for out in heads]).nanmean().item() for name in _SAMPLE_NUMBERS}


def _update(state: TrainingState) -> float:
    """Clip and step; returns the gradient's norm. With fp16 a non-finite gradient only lowers the loss scale."""
    parameters = [p for module in state.modules() for p in module.parameters() if p.grad is not None]
    state.scaler.unscale_(state.optimizer)
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    gradient_norm = norm.item()
    if not math.isfinite(gradient_norm) and not state.scaler.is_enabled():
        raise NonFiniteLossError(_advice(state, f"the gradient's norm is {gradient_norm}", "optimizer.learning_rate"))
    if state.recipe.gradient_clip:
        torch.nn.utils.clip_grads_with_norm_(parameters, state.recipe.gradient_clip, norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if state.scaler.is_enabled() and state.scaler.get_scale() < _SMALLEST_LOSS_SCALE:
        raise NonFiniteLossError(_advice(state, "fp16 gradients overflow at every loss scale", "precision"))
    return gradient_norm


def _loss_advice(state: TrainingState, loss: float, one: PassLoss) -> str:
    """What to say of a loss that is not finite."""
    general = "precision" if state.autocast_type == torch.float16 else "optimizer.learning_rate"
    if one.head is not None and not one.head.feature_norm_B.isfinite().all():
        return _advice(state, f"the loss is {loss}: the backbone's features are not finite", general)
    if one.head is not None and not one.head.loss.isfinite():
        name = "head.scale" if hasattr(state.recipe.head, "scale") else "head.name"
        return _advice(state, f"the loss is {loss}", name)
    if not one.label_parts.get("quality", torch.zeros(())).isfinite():
        return _advice(state, f"the loss is {loss}, through the predicted quality", "quality.weight")
    return _advice(state, f"the loss is {loss}, through the face reconstruction", general)


def _advice(state: TrainingState, what: str, name: str) -> str:
    value: object = state.recipe
    for part in name.split("."):
        value = getattr(value, part)
    return f"step {state.step + 1}: {what}. The recipe field to look at first is {name} (now {value})"
