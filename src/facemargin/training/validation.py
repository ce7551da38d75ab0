"""Scoring the recogniser on verification sets while it trains."""

from collections.abc import Sequence

from facemargin.backbones import create_backbone
from facemargin.data.verification import VerificationSet
from facemargin.evaluation import VerificationSummary, evaluate_verification, summarise
from facemargin.inference.model import Model
from facemargin.inference.model_file import ModelInfo
from facemargin.training.config import BackboneConfig, Recipe
from facemargin.training.state import TrainingState
from facemargin.training.strict_yaml import to_yaml


def model_info(recipe: Recipe) -> ModelInfo:
    """What the saved model says of itself."""
    options = {name: value for name, value in vars(recipe.backbone).items() if name not in vars(BackboneConfig())}
    return ModelInfo(
        backbone=recipe.backbone.name,
        options=options,
        embedding_size=recipe.backbone.embedding_size,
        input_size=options["input_size"],
        loss=recipe.head.name,
        views=recipe.validation.views,
        recipe=to_yaml(recipe),
    )


def recogniser(state: TrainingState) -> Model:
    """The recogniser as it stands: a copy, so that training goes on undisturbed."""
    info = model_info(state.recipe)
    backbone = create_backbone(info.backbone, info.embedding_size, **info.options)
    backbone.load_state_dict(state.recogniser_state())
    return Model(backbone, info, state.device)


def validate(model: Model, sets: Sequence[VerificationSet]) -> list[VerificationSummary]:
    """One summary a set, without bootstrap intervals."""
    return [summarise(evaluate_verification(model.embed, one, model.info.loss), bootstrap=None) for one in sets]


def validation_row(step: int, epoch: int, summary: VerificationSummary) -> dict[str, object]:
    """A row of validation.csv. `accuracy` is the k-fold mean where the set has folds, else empty."""
    return {
        "step": step,
        "epoch": epoch,
        "dataset": summary.dataset,
        "accuracy": "" if summary.accuracy is None else summary.accuracy.mean,
        "balanced_accuracy": summary.balanced_accuracy.value,
        "equal_error_rate": summary.roc.eer,
        **{f"tar_at_far_{point.target_far:g}": point.tar for point in summary.tar_at_far.points},
    }
