"""One optimizer step. Shapes: B images of a step, M of one accumulation pass, C colours, H × W pixels."""

import math
from dataclasses import dataclass

import torch

from facemargin.data.pixels import normalise
from facemargin.data.training_set import TrainingBatch
from facemargin.errors import NonFiniteLossError
from facemargin.heads import HeadOutput
from facemargin.training.config import SMALLEST_PASS
from facemargin.training.state import TrainingState

_SMALLEST_LOSS_SCALE = 2.0**-10


@dataclass(frozen=True)
class StepResult:
    """The batch's means: `loss`, its named `parts`, the gradient's norm before clipping, and the head's per-sample
    numbers."""

    loss: float
    parts: dict[str, float]
    gradient_norm: float
    target_cosine: float
    certainty_ratio: float
    feature_norm: float
    margin_scaler: float


def training_step(state: TrainingState, batch: TrainingBatch, learning_rate: float) -> StepResult:
    """Forward, backward and update on one batch, in the recipe's accumulation passes (fewer where corrupt images leave
    too few images for that many), whose sizes differ by one at most.

    The loss is the mean over the labelled samples of the step. Dropout and other draws depend on (seed, step) alone.
    Raises NonFiniteLossError, before any weight changes, if the loss or the gradient is not finite.
    """
    recipe = state.recipe
    torch.manual_seed((recipe.seed * 1_000_003 + state.step + 1) % 2**63)
    state.backbone.train()
    state.head.train()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    state.optimizer.zero_grad(set_to_none=True)
    images_BCHW = normalise(batch.images_BCHW.to(state.device, non_blocking=True))
    if recipe.channels_last:
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    labels_B = batch.labels_B.to(state.device, non_blocking=True)
    passes = max(1, min(recipe.accumulation_steps, len(batch) // SMALLEST_PASS))
    labelled = max(int((labels_B >= 0).sum()), 1)
    outputs: list[tuple[float, HeadOutput]] = []
    for images_MCHW, labels_M in zip(images_BCHW.tensor_split(passes), labels_B.tensor_split(passes), strict=True):
        with torch.autocast(state.device.type, dtype=state.autocast_type, enabled=state.autocast_type is not None):
            features_MD = state.forward_backbone(images_MCHW)
        out = state.head(features_MD, labels_M)
        share = int((labels_M >= 0).sum()) / labelled  # the mean is over the whole step, not over each pass
        _check_loss(state, out)
        state.scaler.scale(out.loss * share).backward()
        outputs.append((share, out))
    gradient_norm = _update(state)
    state.step += 1
    if state.average is not None:
        state.average.update(state.backbone)
    return StepResult(
        loss=sum(share * out.loss.item() for share, out in outputs),
        parts={name: sum(share * out.parts[name].item() for share, out in outputs) for name in outputs[0][1].parts},
        gradient_norm=gradient_norm,
        **{
            name: torch.cat([getattr(out, f"{name}_B") for _, out in outputs]).nanmean().item()
            for name in ("target_cosine", "certainty_ratio", "feature_norm", "margin_scaler")
        },
    )


def _update(state: TrainingState) -> float:
    """Clip and step; returns the gradient's norm. With fp16 a non-finite gradient only lowers the loss scale."""
    parameters = [p for module in (state.backbone, state.head) for p in module.parameters() if p.grad is not None]
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


def _check_loss(state: TrainingState, out: HeadOutput) -> None:
    loss = out.loss.item()
    if math.isfinite(loss):
        return
    if not out.feature_norm_B.isfinite().all():
        field = "precision" if state.autocast_type == torch.float16 else "optimizer.learning_rate"
        raise NonFiniteLossError(_advice(state, f"the loss is {loss}: the backbone's features are not finite", field))
    raise NonFiniteLossError(_advice(state, f"the loss is {loss}", "head.scale"))


def _advice(state: TrainingState, what: str, name: str) -> str:
    value: object = state.recipe
    for part in name.split("."):
        value = getattr(value, part)
    return f"step {state.step + 1}: {what}. The recipe field to look at first is {name} (now {value})"
