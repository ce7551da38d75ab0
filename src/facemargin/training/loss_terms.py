"""What a step minimises: the named terms of its loss, pass by pass.

Shapes: M images of one pass of this process, C colours, H × W pixels.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from facemargin.heads import Head, HeadOutput
from facemargin.quality.crfiqa import quality_loss
from facemargin.reconstruction import Reconstruction, reconstruction_losses
from facemargin.timing import section, switch_section
from facemargin.training.canonical_loss import canonical_loss
from facemargin.training.config import SMALLEST_PASS, QualityConfig
from facemargin.training.state import TrainingState
from facemargin.training.visits import recorded_numbers

SAMPLE_NUMBERS = ("target_cosine", "certainty_ratio", "feature_norm", "margin_scaler")


@dataclass(frozen=True)
class StepSamples:
    """How many images a step has, and how many of them are labelled, in all passes and processes; at least 1, to divide
    by."""

    images: int
    labeled: int


@dataclass(frozen=True)
class LossTerm:
    """A term of the loss of one pass: `value`, a scalar with gradient, is a mean over `samples` of its images or of its
    labelled images, as `over` says.

    `reduced`: these are the samples of all processes, each of which has the same value; else they are this process's.
    `origin`: the section of the recipe that the term comes from.
    """

    name: str
    value: Tensor
    samples: int
    over: Literal["images", "labeled"]
    reduced: bool
    origin: Literal["head", "quality", "reconstruction"]

    def share(self, step: StepSamples) -> Tensor:
        """What the term adds to the step's loss, the mean over the samples of all its passes and processes."""
        return self.samples / (step.images if self.over == "images" else step.labeled) * self.value


@dataclass(frozen=True)
class PassLoss:
    """The terms of a pass, and the head's numbers of each of this process's images (M,), by name and NaN where
    unlabelled; no numbers where there is no head. `recorded` are those for the recorder, if there is one."""

    terms: list[LossTerm]
    sample_numbers: dict[str, Tensor]
    recorded: Tensor | None = None


def pass_loss(state: TrainingState, images_MCHW: Tensor, labels_M: Tensor, num_labeled: int) -> PassLoss:
    """Forward through all that the recipe trains, for normalised images and their labels, −1 for unlabelled;
    `num_labeled` counts the others.

    A process that corrupt images leave fewer than two images normalises them by the running statistics of its batch
    norms; left with none, it looks at a black image in their place, which counts for nothing.
    """
    if not len(labels_M):
        images_MCHW = images_MCHW.new_zeros(1, *images_MCHW.shape[1:])
    with _running_statistics(state.recognizer, when=len(labels_M) < SMALLEST_PASS):
        if isinstance(state.head, Head):
            return _recognizer_loss(state, state.head, images_MCHW, labels_M, num_labeled)
        with section("backbone"), state.autocast():
            reconstruction = state.replica(images_MCHW)
        return PassLoss(_reconstruction_terms(state, images_MCHW, reconstruction, len(labels_M)), {})


def _recognizer_loss(
    state: TrainingState, head: Head, images_MCHW: Tensor, labels_M: Tensor, num_labeled: int
) -> PassLoss:
    """The head's loss, and what a quality layer and a face reconstruction add to it."""
    recipe = state.recipe
    with section("backbone"), state.autocast():
        recognized = state.replica(images_MCHW)
    # The backward pass comes to the backbone when the features have their gradient.
    recognized.features_BD.register_hook(lambda _: switch_section("backbone"))
    with section("head"):
        out = head(recognized.features_BD[: len(labels_M)], labels_M)
    terms = [
        LossTerm(name, value, out.num_labeled, over="labeled", reduced=True, origin="head")
        for name, value in out.parts.items()
    ]
    if recognized.quality_B is not None:
        value = _quality_loss(recipe.quality, out, recognized.quality_B[: len(labels_M)])
        terms.append(LossTerm("quality", value, num_labeled, over="labeled", reduced=False, origin="quality"))
    if recognized.reconstruction is not None:
        terms += _reconstruction_terms(state, images_MCHW, recognized.reconstruction, len(labels_M))
        if recipe.reconstruction.lambda_canon > 0:
            with state.autocast():
                loss = canonical_loss(state.recognizer, head, recognized.reconstruction, labels_M)
            value = recipe.reconstruction.lambda_canon * loss
            count = out.num_labeled
            terms.append(LossTerm("canonical", value, count, over="labeled", reduced=True, origin="reconstruction"))
    recorded = recorded_numbers(out) if recipe.recorder else None
    return PassLoss(terms, {name: getattr(out, f"{name}_B") for name in SAMPLE_NUMBERS}, recorded)


def _quality_loss(config: QualityConfig, out: HeadOutput, prediction_M: Tensor) -> Tensor:
    return quality_loss(
        prediction_M,
        out.target_cosine_B,
        out.hardest_negative_B,
        definition=config.target,
        weight=config.weight,
        beta=config.beta,
    )


def _reconstruction_terms(
    state: TrainingState, images_MCHW: Tensor, reconstruction: Reconstruction, num_images: int
) -> list[LossTerm]:
    """What needs no recogniser. `num_images` is 0 where the image is a black one that counts for nothing."""
    losses = reconstruction_losses(images_MCHW, reconstruction, state.recipe.reconstruction)
    return [
        LossTerm(name, value, num_images, over="images", reduced=False, origin="reconstruction")
        for name, value in losses.items()
    ]


@contextlib.contextmanager
def _running_statistics(network: nn.Module, when: bool) -> Iterator[None]:
    """Within, if `when`, batch norms go by their running statistics and leave them alone."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.training]
    norms = norms if when else []
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()
