"""The loss of one accumulation pass of a step. Shapes: M images of the pass, C colours, H × W pixels."""

from dataclasses import dataclass

from torch import Tensor

from facemargin.heads import HeadOutput
from facemargin.quality.crfiqa import quality_loss
from facemargin.reconstruction import reconstruction_losses
from facemargin.training.config import QualityConfig
from facemargin.training.reconstruction_loss import canonical_loss
from facemargin.training.state import TrainingState


@dataclass(frozen=True)
class PassLoss:
    """Named scalars whose sum is to be differentiated: `label_parts` are means over the labelled samples of the pass,
    `image_parts` over all of them. `head` is the head's output, None where the reconstruction is trained alone."""

    label_parts: dict[str, Tensor]
    image_parts: dict[str, Tensor]
    head: HeadOutput | None

    def shared(self, label_share: float, image_share: float) -> dict[str, Tensor]:
        """All parts, weighted by the pass's share of the step's labelled samples or of its images."""
        return {
            **{name: label_share * part for name, part in self.label_parts.items()},
            **{name: image_share * part for name, part in self.image_parts.items()},
        }


def pass_loss(state: TrainingState, images_MCHW: Tensor, labels_M: Tensor) -> PassLoss:
    """Forward through all that the recipe trains, for normalised images and their labels, −1 for unlabelled."""
    config = state.recipe.reconstruction
    if state.head is None:
        assert state.recogniser.reconstructor is not None
        with state.autocast():
            reconstruction = state.recogniser.reconstructor(images_MCHW)
        return PassLoss({}, reconstruction_losses(images_MCHW, reconstruction, config), None)
    with state.autocast():
        recognised = state.recogniser(images_MCHW)
    out = state.head(recognised.features_BD, labels_M)
    label_parts, image_parts = dict(out.parts), {}
    if recognised.quality_B is not None:
        label_parts["quality"] = _quality_loss(state.recipe.quality, out, recognised.quality_B)
    if recognised.reconstruction is not None:
        image_parts = reconstruction_losses(images_MCHW, recognised.reconstruction, config)
        if config.lambda_canon > 0:
            label_parts["canonical"] = canonical_loss(state, recognised.reconstruction, labels_M)
    return PassLoss(label_parts, image_parts, out)


def _quality_loss(config: QualityConfig, out: HeadOutput, prediction_M: Tensor) -> Tensor:
    return quality_loss(
        prediction_M,
        out.target_cosine_B,
        out.hardest_negative_B,
        definition=config.target,
        weight=config.weight,
        beta=config.beta,
    )
