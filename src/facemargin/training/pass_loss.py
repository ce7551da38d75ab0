"""The loss of one accumulation pass of a step. Shapes: M images of the pass, C colours, H × W pixels."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from facemargin.heads import HeadOutput
from facemargin.quality.crfiqa import quality_loss
from facemargin.reconstruction import reconstruction_losses
from facemargin.timing import section, switch_section
from facemargin.training.config import SMALLEST_PASS, QualityConfig
from facemargin.training.reconstruction_loss import canonical_loss
from facemargin.training.state import TrainingState


@dataclass(frozen=True)
class PassLoss:
    """Named scalars whose weighted sum is to be differentiated. `head_parts` are means over the labelled samples of all
    processes in the pass, the same everywhere; `label_parts` are means over this process's labelled samples and
    `image_parts` over all its images. `head` is the head's output, None where the reconstruction is trained alone."""

    head_parts: dict[str, Tensor]
    label_parts: dict[str, Tensor]
    image_parts: dict[str, Tensor]
    head: HeadOutput | None

    def shared(self, num_labeled: int, num_own_labeled: int, num_own_images: int, totals: "StepTotals") -> "Shares":
        """The parts, weighted by the pass's shares of all labelled samples or images of the step."""
        return Shares(
            {name: num_labeled / totals.labeled * part for name, part in self.head_parts.items()},
            {
                **{name: num_own_labeled / totals.labeled * part for name, part in self.label_parts.items()},
                **{name: num_own_images / totals.images * part for name, part in self.image_parts.items()},
            },
        )


@dataclass(frozen=True)
class StepTotals:
    """Images and labelled images of a step, of all processes; at least 1, to divide by."""

    images: int
    labeled: int


@dataclass(frozen=True)
class Shares:
    """What a pass adds to the step's loss: `everywhere` is the same in every process, `here` this one's part of a sum
    over the processes."""

    everywhere: dict[str, Tensor]
    here: dict[str, Tensor]


def pass_loss(state: TrainingState, images_MCHW: Tensor, labels_M: Tensor) -> PassLoss:
    """Forward through all that the recipe trains, for normalised images and their labels, −1 for unlabelled.

    A process that corrupt images leave fewer than two images normalises them by the running statistics of its batch
    norms; left with none, it looks at a black image in their place, which counts for nothing.
    """
    if not len(labels_M):
        images_MCHW = images_MCHW.new_zeros(1, *images_MCHW.shape[1:])
    with _running_statistics(state.recognizer, when=len(labels_M) < SMALLEST_PASS):
        return _pass_loss(state, images_MCHW, labels_M)


def _pass_loss(state: TrainingState, images_MCHW: Tensor, labels_M: Tensor) -> PassLoss:
    config = state.recipe.reconstruction
    if state.head is None:
        with section("backbone"), state.autocast():
            reconstruction = state.replica(images_MCHW)
        return PassLoss({}, {}, reconstruction_losses(images_MCHW, reconstruction, config), None)
    with section("backbone"), state.autocast():
        recognized = state.replica(images_MCHW)
    # The backward pass comes to the backbone when the features have their gradient.
    recognized.features_BD.register_hook(lambda _: switch_section("backbone"))
    with section("head"):
        out = state.head(recognized.features_BD[: len(labels_M)], labels_M)
    head_parts, label_parts, image_parts = dict(out.parts), {}, {}
    if recognized.quality_B is not None:
        label_parts["quality"] = _quality_loss(state.recipe.quality, out, recognized.quality_B[: len(labels_M)])
    if recognized.reconstruction is not None:
        image_parts = reconstruction_losses(images_MCHW, recognized.reconstruction, config)
        if config.lambda_canon > 0:
            head_parts["canonical"] = canonical_loss(state, recognized.reconstruction, labels_M)
    return PassLoss(head_parts, label_parts, image_parts, out)


def _quality_loss(config: QualityConfig, out: HeadOutput, prediction_M: Tensor) -> Tensor:
    return quality_loss(
        prediction_M,
        out.target_cosine_B,
        out.hardest_negative_B,
        definition=config.target,
        weight=config.weight,
        beta=config.beta,
    )


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
