"""What another margin would have made of a recorded training. Shapes: V visits, S visits of a step, N samples.

The head's numbers before the margin are all that a margin needs, so the loss of a visit under any margin T is

    loss' = log(1 + exp(negative_lse − T(target_cosine, norm, …)))

for the same features and centers. It is exact for each step by itself. It is not the training that T would have led:
with T, the next step's features and centers would have been others.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.margins.base import (
    ConstantScaleMargin,
    Margin,
    MarginConfig,
    SoftmaxTerms,
    create_margin,
    margin_class,
    margin_name,
    reweights_negatives,
)
from facemargin.recording.columns import BINARY
from facemargin.recording.reader import Recording

NEEDED = ("sample", "step", "feature_norm", "target_cosine", "negative_lse", "hardest_negative")
"""The columns of a recording that `replay` reads."""

_AS_THEY_ARE = "as they are"
_NORM_SCALE = "feature_norm"


@dataclass(frozen=True)
class Replay:
    """The visits of a recording under a margin, in the recording's order; NaN where the network was no longer finite.

    `loss_V`: the softmax loss. `gradient_V`: |∂loss/∂c_y|, by how much the loss pulls the target cosine; it is
    (1 − p)·|∂T/∂c_y| with p the softmax probability of the image's own class: AdaFace's gradient scaling term, times
    the scale. `scaler_V`: what adapts the margin to the image (`Margin.margin_scaler`). `notes` say in words what could
    not be replayed exactly.

    Examples:
        >>> import facemargin as fm, numpy as np
        >>> visits = {name: np.array([0.5, 0.1]) for name in ("target_cosine", "hardest_negative")}
        >>> visits |= {"sample": np.array([0, 1]), "step": np.array([1, 1])}
        >>> visits |= {"feature_norm": np.array([20.0, 9.0]), "negative_lse": np.array([7.0, 7.0])}
        >>> about = {"scale": 16.0, "negatives": "as they are", "lse_among": "all classes"}
        >>> recording = fm.Recording(visits, np.array([0, 1]), ["Ann", "Bob"], about, missing_steps=[])
        >>> fm.replay(recording, fm.margins.CosFaceConfig(margin=0.25, scale=16.0)).loss_V.round(3)
        array([3.049, 9.4  ])
    """

    loss_V: NDArray[np.float64]
    gradient_V: NDArray[np.float64]
    scaler_V: NDArray[np.float64]
    notes: list[str]

    def gradient_share(self, chosen_V: NDArray[np.bool_], among_V: NDArray[np.bool_] | slice = slice(None)) -> float:
        """The share of the gradient that falls on the visits `chosen_V` (V,), of that of all or of those `among_V`; NaN
        where there is no gradient at all."""
        total = float(np.nansum(self.gradient_V[among_V]))
        return float(np.nansum(self.gradient_V[chosen_V])) / total if total > 0 else float("nan")


def replay(
    recording: Recording,
    margin: str | MarginConfig,
    /,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Replay:
    """The losses of all visits of `recording` as they would have been under `margin`, at the same features and centers:
    logaddexp(0, negative_lse − T), with T the margin's target logit.

    `margin` is a name of `list_margins()` with its `settings`, or its configuration. Without a scale among the settings
    the recording's is taken. Running statistics (AdaFace, FunFace, …) advance step by step as in training, from the
    margin's initial values. `seed` is that of random margins. `progress` is called with the steps done and all.

    Raises ConfigError where the recording cannot tell: for another scale than the recorded one, because Σ exp(s·c_j)
    is known for that s alone, and for a margin that re-weights the negatives, or after one that did.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> from rich.console import Console
        >>> run = tempfile.mkdtemp() + "/run"
        >>> recipe = fm.load_recipe("small_cpu", epochs=2, batch_size=10, data={"train": "orl:1-3"}, recorder=True)
        >>> fm.train(recipe, run, console=Console(quiet=True))
        True
        >>> recording = fm.load_recording(run)
        >>> small, large = (fm.replay(recording, "cosface", margin=margin) for margin in (0.1, 0.5))
        >>> bool((small.loss_V < large.loss_V).all())
        True
    """
    name = margin if isinstance(margin, str) else margin_name(margin)
    if not isinstance(margin, str):
        if settings:
            raise ConfigError(f"{next(iter(settings))} is given beside {margin!r}: set it there")
        settings = vars(margin)
    elif issubclass(margin_class(name), ConstantScaleMargin):
        settings = {"scale": recording.about.get("scale"), **settings}
        if not isinstance(settings["scale"], float | int):
            raise ConfigError(
                f"the recorded training's scale is each feature's norm; {name} has one scale for all, and the "
                "log-sum-exp at another scale is not recorded"
            )
    module = create_margin(name, **settings).double()
    _check(recording, name, module)
    module.seed = seed
    module.train()
    columns = {column: torch.from_numpy(recording[column].astype(np.float64)) for column in NEEDED[2:]}
    label_V = torch.from_numpy(recording.labels[recording["sample"]])
    out_3V = np.empty((3, len(recording)))
    starts = [0, *(np.flatnonzero(np.diff(recording["step"])) + 1).tolist(), len(recording)]
    for number, (start, stop) in enumerate(pairwise(starts), start=1):
        rows = slice(start, stop)
        norm_S, target_S, *negatives = (columns[column][rows] for column in NEEDED[2:])
        out_3V[:, rows] = _step(module, SoftmaxTerms(target_S, *negatives), norm_S, label_V[rows])
        if progress is not None:
            progress(number, len(starts) - 1)
    loss_V, gradient_V, scaler_V = out_3V
    return Replay(loss_V, gradient_V, scaler_V, _notes(recording, module, loss_V))


def _step(module: Margin, terms: SoftmaxTerms, norm_S: Tensor, label_S: Tensor) -> NDArray[np.float64]:
    """Loss, gradient and scaler of one step's visits, (3, S), in the order in which a head calls a margin."""
    target_S = terms.target_cosine_B.requires_grad_()
    module.observe_targets(target_S.detach())
    module.observe(terms, norm_S)
    with torch.enable_grad():
        logit_S = module.target_logit(terms, norm_S, label_S)
        loss_S = torch.logaddexp(torch.zeros_like(logit_S), terms.negative_lse_B - logit_S)
        (gradient_S,) = torch.autograd.grad(loss_S.sum(), target_S)
    scaler_S = module.margin_scaler(terms, norm_S)
    return torch.stack([loss_S, gradient_S.abs(), scaler_S]).detach().numpy()


def _check(recording: Recording, name: str, module: Margin) -> None:
    """Raise ConfigError where the recorded log-sum-exp is not that of the margin."""
    about = recording.about
    recorded = about.get("margin", "another margin")
    if module.binary or about.get("negatives") == BINARY:
        which = name if module.binary else recorded
        raise ConfigError(
            f"{which} decides on every class by itself: what its negatives add up to is not recorded, and no softmax "
            "can tell. Replay a margin with a softmax over the recording of one"
        )
    scale = module.config.scale if isinstance(module, ConstantScaleMargin) else _NORM_SCALE
    if scale != about.get("scale"):
        raise ConfigError(
            f"{name} has the scale {_scale_words(scale)}, the training was recorded at "
            f"{_scale_words(about.get('scale'))}: the log-sum-exp at another scale is not recorded. Train with the "
            "recorder at that scale, or leave the scale out"
        )
    was_reweighted = about.get("negatives") != _AS_THEY_ARE
    if was_reweighted and not (name == recorded and reweights_negatives(module)):
        raise ConfigError(
            f"the training with {recorded} re-weighted hard negatives, and the recorded log-sum-exp is that of the "
            f"re-weighted ones: only {recorded} that does so can be replayed"
        )
    if reweights_negatives(module) and not was_reweighted:
        raise ConfigError(
            f"{name} with these settings re-weights hard negatives, and the recording holds only the log-sum-exp of "
            "the negatives as they are: train with it and the recorder instead"
        )


def _scale_words(scale: Any) -> str:
    return "of each feature's norm" if scale == _NORM_SCALE else str(scale)


def _notes(recording: Recording, module: Margin, loss_V: NDArray[np.float64]) -> list[str]:
    """What is not exact, in words."""
    about, notes = recording.about, []
    if recording["target_cosine"].dtype == np.float16:
        lse_V = np.abs(recording["negative_lse"].astype(np.float64))
        largest = np.float16(lse_V[np.isfinite(lse_V)].max(initial=0.0))
        scale = (
            about["scale"] if isinstance(about["scale"], float | int) else float(np.nanmax(recording["feature_norm"]))
        )
        error = float(np.spacing(largest)) / 2 + scale * 2.0**-12
        notes.append(f"recorded in half precision: a loss may be off by {error:.2g} (`recorder: float32` keeps more)")
    if about.get("negatives") != _AS_THEY_ARE:
        notes.append("the negatives are re-weighted as they were in the training, whatever the settings here")
    if about.get("lse_among") == "sampled classes":
        notes.append("the negatives are those of the classes that each step sampled")
    if about.get("hardest_among") == "sampled classes":
        notes.append("the hardest negative is that among the sampled classes")
    if (passes := about.get("passes", 1)) > 1:
        notes.append(f"statistics advance once a step here, {passes} times a step in the training")
    if recording.missing_steps:
        gaps = ", ".join(f"{first} to {last}" for first, last in recording.missing_steps)
        notes.append(f"steps {gaps} are not recorded, and running statistics know nothing of them")
    if type(module).extra_losses is not Margin.extra_losses:
        notes.append("the loss is that of the softmax: the margin's terms beside it are left out")
    if bad := int(np.isnan(loss_V).sum()):
        notes.append(f"{counted(bad, 'visit')} without a finite number")
    return notes
